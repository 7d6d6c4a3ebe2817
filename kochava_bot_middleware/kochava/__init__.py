"""The Kochava platform: records, their wire form, and the verdict on an answer. Knows nothing of bots or of storing."""

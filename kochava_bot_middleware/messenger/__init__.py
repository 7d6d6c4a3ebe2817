"""The Messenger Platform: what comes in, what goes out. Knows nothing of Kochava and nothing of storing."""

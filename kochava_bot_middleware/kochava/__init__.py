"""Kochava: records, requests and the meaning of answers. Knows nothing of bots or of stores."""

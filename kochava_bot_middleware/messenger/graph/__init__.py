"""The Graph API: requests, retries, pacing and errors."""

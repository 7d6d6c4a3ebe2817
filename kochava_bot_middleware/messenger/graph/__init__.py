"""The Graph API: calls, retries, pace and errors."""

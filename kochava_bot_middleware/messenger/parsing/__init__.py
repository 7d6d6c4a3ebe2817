"""From the body of a webhook to typed events."""

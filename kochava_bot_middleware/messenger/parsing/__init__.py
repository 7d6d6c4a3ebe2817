"""From a webhook's bytes to typed events."""

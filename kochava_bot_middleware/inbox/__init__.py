"""From a webhook's bytes to a handled event: taken once, kept until handled, in each person's order."""

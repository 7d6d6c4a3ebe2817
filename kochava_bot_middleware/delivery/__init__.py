"""From the outbox to Kochava: claim, send, judge, settle."""

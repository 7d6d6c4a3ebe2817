"""What the counters by day say: a report, and its comparison with an export of Kochava."""

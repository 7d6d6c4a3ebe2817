"""Durable work: commits that are repeated until they succeed, and the consumer that runs entries."""

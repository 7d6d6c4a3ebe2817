"""The promise that nothing is lost: durable queues of lanes with one atomic commit. Bodies are opaque here."""

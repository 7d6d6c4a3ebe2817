"""A store that many machines share, in PostgreSQL."""

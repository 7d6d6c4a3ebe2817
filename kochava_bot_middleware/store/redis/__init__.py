"""A store that many machines share, in Redis or Valkey."""

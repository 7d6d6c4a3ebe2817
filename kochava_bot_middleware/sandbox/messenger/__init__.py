"""The local Messenger; it shares no code with what it checks."""

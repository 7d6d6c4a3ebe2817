"""The local Kochava; it shares no code with what it checks."""

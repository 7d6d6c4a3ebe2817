"""The commands of ``kochava-bot``, one module each."""

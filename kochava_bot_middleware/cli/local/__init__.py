"""Commands that need neither Facebook, nor Kochava, nor the bot's store."""

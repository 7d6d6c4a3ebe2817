"""The web page of the sandbox: a chat with the bot, and live what it sends, what Kochava gets and what waits."""

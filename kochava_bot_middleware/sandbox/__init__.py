"""A local Messenger and a local Kochava, simulated users, and the demo that runs them with a bot."""

"""Where Messenger and Kochava meet, purely: events become records, bodies get SmartLinks, greetings become pings."""

"""Where the links of an outgoing body stand, and how they are replaced."""

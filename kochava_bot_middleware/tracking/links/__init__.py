"""SmartLinks in place of the links of an outgoing body."""

"""A local Messenger and a local Kochava, as strict as the pages of the real ones."""

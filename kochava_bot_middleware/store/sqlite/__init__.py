"""The default store: one file, one writer thread, group commit."""

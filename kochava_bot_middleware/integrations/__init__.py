"""For hosts and clients of others: one module each, named after its interface or library, which it alone imports."""

"""For other hosts and clients: one module for each interface or library, named after it, which imports nothing else."""

"""For hosts other than `MessengerBot`: one module for each interface, named after it, which imports nothing else."""

"""Estimates what a run needs, reads what the machine has, and admits or refuses the run."""

"""Keeps the thinking in bounds: budgets, loops, languages. Pure; of the rest it knows only core."""

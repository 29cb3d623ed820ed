"""Tools that make what the project ships; never imported by it."""

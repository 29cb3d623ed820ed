"""Values and pure functions: the standard library alone, no clock, no streams."""

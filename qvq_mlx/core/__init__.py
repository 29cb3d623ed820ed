"""Values and pure functions: the standard library alone, no input, no output, no clock."""

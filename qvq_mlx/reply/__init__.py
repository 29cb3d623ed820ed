"""Splits text into thinking and answer, and reads and compares answers. Pure."""

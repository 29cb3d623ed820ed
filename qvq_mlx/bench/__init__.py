"""Measures how fast a model is on this machine: `qvq bench`."""

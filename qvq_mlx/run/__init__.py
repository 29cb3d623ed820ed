"""Runs one request: plan, inputs, load, ask, vote, double check. It prints nothing."""

"""Ratios measured in one run. Absolute times on a shared machine mean nothing."""

"""Tests of asking a host."""

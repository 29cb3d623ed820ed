"""Reads boxes and points out of answers and maps them onto the pictures. Pure."""

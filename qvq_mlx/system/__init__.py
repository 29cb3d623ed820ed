"""Asks the operating system for what several rooms need: files, locks, disk space, programs.

Law: the standard library alone, and nothing of qvq. Errors are OSError and ValueError; the rooms
above give them the user's words.
"""

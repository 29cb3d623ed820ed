"""Imported first by a program in a terminal: a Ctrl-C while modules are imported ends it quietly.

So does the console script, before it imports anything that takes time; `python -m` would print a
traceback.
"""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)

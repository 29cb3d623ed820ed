"""Breaks tiny checkpoints of every family in many ways, and runs qvq on each in a process.

    python -m tools.fuzz_checkpoints COUNT [SEED] [--only NUMBER]

A mutant is a function of its number and the seed, so that one which did harm can be made again.
Each runs in a forked process of 4 GiB and 20 seconds. Harm is: a signal, a traceback, an internal
error, too much time or memory, a control sequence in the output, a file that was written or a
connection that was opened outside of the run's own folders (Python's audit events, and a listing
before and after for what native code does).
"""

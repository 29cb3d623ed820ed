"""Lets agents that read text alone look at pictures: the Model Context Protocol over stdio.

`server` offers the tools, `tools` answers a call, `asking` runs one question in the engine's
thread, `roots` bounds what may be read, `arguments` and `results` are what crosses the wire.
"""

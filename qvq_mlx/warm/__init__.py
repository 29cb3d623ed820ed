"""Lends a loaded model to other processes of the same user, over a Unix socket.

`client` looks for a server and is an `Engine`; `desk` serves one connection; `places` says where
the sockets lie; `frames` and `values` are what travels. The room knows no server and no run.
"""

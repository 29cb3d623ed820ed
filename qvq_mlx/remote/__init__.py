"""Asks a server on another machine: any that speaks OpenAI's chat completions, or a qvq.

`wire` is the connection; `models` says what is served there; `body` is a plan as such a server is
asked it; `chunks` reads what comes back, and `answering` makes events of it. The room knows no
settings and no screen.
"""

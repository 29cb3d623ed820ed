"""Going on from a question: follow-ups of saved runs, and a conversation that stays open.

Law: a round is a question like any other; it goes down the straight line of `ask` and is saved as a
run of its own, which names the run that it follows. Nothing here runs a model or draws a panel.
`editor` is the only home of prompt_toolkit.
"""

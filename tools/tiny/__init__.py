"""qvq-tiny, the embedded model: its pictures, questions, tokenizer, training, export and checks.

Nothing here is shipped in the wheel. Run every module from the repository root, for example
`python -m tools.tiny.evaluate`. Modules that need torch say so in their docstring.
"""

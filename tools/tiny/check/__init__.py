"""A second generator that shares no code and no wording with the training of the embedded model.

Law: nothing of this package imports what draws or asks in `tools.tiny`, and no question of it is a
sentence that training can say (a test looks). So it measures what the model has learned of the
domain, and not of one program's habits. It is for measuring only: never train on it.

    python -m tools.tiny.check [MODEL ...] [--seed 1] [--count 400]
"""

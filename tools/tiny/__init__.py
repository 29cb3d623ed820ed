"""qvq-tiny, the embedded model: its pictures, questions, tokenizer, training, export and checks.

Nothing here is shipped in the wheel. Run every module from the repository root. Law: modules that
draw and ask (`scenes` to `cases`) need Pillow and numpy only; modules that measure need mlx-vlm;
`train`, `network`, `checkpoint` and `goldens` need torch.

To make the model again (about an hour and a quarter on two cores):

    python -m tools.tiny.tokenizer TOK
    python -m tools.tiny.train --tokenizer TOK --out MAIN --minutes 75
    python -m tools.tiny.train --tokenizer TOK --out DRAFT --shape draft --minutes 10
    python -m tools.tiny.export MAIN models/qvq-tiny
    python -m tools.tiny.export DRAFT models/qvq-tiny-draft

To measure it:

    python -m tools.tiny.evaluate
    python -m tools.tiny.agreement
    python -m tools.tiny.robustness
    python -m tools.tiny.goldens
"""

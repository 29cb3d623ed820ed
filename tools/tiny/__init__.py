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
    python -m tools.tiny.check                     (pictures and wordings of another hand)

The second generation (`tools.tiny.second`) goes on from the weights in `tools/tiny/second/begun`
(bfloat16, with the head of the grounding stage), which began as the shipped ones. The rate stays
level, so that a run can be continued from its last folder with another --seed; what a day has
reached is written back to `begun`. The last run falls to zero (--level 0.5):

    python -m tools.tiny.train --generation second --shape second --tokenizer models/qvq-tiny
        --init tools/tiny/second/begun --out RUN --minutes 120 --grounding-minutes 0 --rate 1.5e-3
        --level 1 --seed 13
    python -m tools.tiny.train --generation second --shape second --tokenizer models/qvq-tiny
        --init RUN --out LAST --minutes 120 --grounding-minutes 0 --rate 1.5e-3 --level 0.5
        --seed 14
    python -m tools.tiny.export LAST MLX
    python -m tools.tiny.second.evaluate MLX
    python -m tools.tiny.check models/qvq-tiny MLX
"""

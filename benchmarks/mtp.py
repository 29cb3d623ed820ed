"""What a model's own MTP head is worth: tokens per pass, and wall time against plain decoding.

    python -m benchmarks.mtp [--rounds 7] [--steps 100]

No checkpoint with a head can be had here, so a tiny Qwen3.5 of drawn weights, its layers quiet,
gets one that begins by handing the embedding on, and is fitted by some steps on the model's own
greedy text behind some questions. It is measured behind others. What it accepts says nothing of a
real head; that passes are saved where guesses are right, and that nothing is lost where they are
not, is what is shown. Wall time is of `auto` against none, as in benchmarks/drafting.py: once with
the fitted head, once with one whose first matrix is drawn, which is never right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np

from benchmarks.drafting import MOST_TOKENS, against_plain, run, session_of
from benchmarks.results import Result, report
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Prompt
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.mtp import MTPHead
from qvq_mlx.engine.session import Session
from tools.families import drawn

ROOT = Path(__file__).parents[1]
SHAPE = ROOT / "tests" / "data" / "families" / "qwen3_5"
LAYER = "language_model.layers.3."
"""The layer of the model that a head's layer is like."""
QUIET = ("o_proj.weight", "out_proj.weight", "down_proj.weight")
"""What a layer adds; the less, the more of the next token follows from the last one."""
LESSONS, ASKED = 16, 4


def made(folder: Path) -> Path:
    """The tiny checkpoint, with a head that hands the embedding on."""
    shutil.copytree(SHAPE, folder)
    shutil.copy(ROOT / "models" / "qvq-tiny" / "tokenizer.json", folder)
    shapes = json.loads((folder / "weights.json").read_text(encoding="utf-8"))
    width = shapes["model.language_model.norm.weight"][0]
    head = {
        f"mtp.layers.0.{name.partition(LAYER)[2]}": shape
        for name, shape in shapes.items()
        if LAYER in name
    }
    norms = ("norm", "pre_fc_norm_embedding", "pre_fc_norm_hidden")
    head |= {f"mtp.{norm}.weight": [width] for norm in norms}
    head["mtp.fc.weight"] = [width, 2 * width]
    weights = drawn.weights(shapes | head)
    for name in weights:
        if name.endswith(QUIET) and "visual" not in name:
            weights[name] *= 0.01
    weights["mtp.fc.weight"] = np.eye(width, 2 * width, dtype=np.float32)
    weights["mtp.pre_fc_norm_embedding.weight"] *= 0  # stored about zero: a scale of 1
    weights["mtp.norm.weight"] = weights["model.language_model.norm.weight"]
    mx.save_safetensors(
        str(folder / "model.safetensors"), {name: mx.array(w) for name, w in weights.items()}
    )
    return folder


def questions(session: Session, numbers: Sequence[int]) -> list[Prompt]:
    """Questions that differ in a number."""
    return [session.prompt(f"What is number {n * 37 % 1009}, and why?", [], None) for n in numbers]


def fitted(session: Session, head: MTPHead, asked: Sequence[Prompt], steps: int) -> None:
    """Fit `head` to what the model writes greedily behind `asked`."""
    lessons = []
    for prompt in asked:
        written = run(session.drafted_by(Drafts(Drafting.NONE)), prompt, MOST_TOKENS).ids
        ids = mx.array([*prompt.ids, *written])
        sequence = session.parts.model.sequence()
        sequence.watch()
        sequence.forward(ids[None], 0)
        assert sequence.trace is not None
        hidden = sequence.trace.since(0)[:, :-2]
        mx.eval(hidden)
        lessons.append((ids, hidden, len(prompt.ids) - 2))
    module = cast("Any", head)._module
    rate = optim.cosine_decay(2e-3, steps)
    optimizer = optim.AdamW(learning_rate=rate, weight_decay=0.01)

    def loss(weights: Any, ids: mx.array, hidden: mx.array, first: int) -> mx.array:  # noqa: ANN401
        module.update(weights)
        where = mx.broadcast_to(mx.arange(hidden.shape[1]), (3, hidden.shape[1]))
        states = head.hidden(head.embed(ids[1:-1]), hidden, where, head.new_cache())
        logits = head.logits(states)[0, first:]
        found: mx.array = nn.losses.cross_entropy(logits, ids[2 + first :], reduction="mean")
        return found

    gradient = mx.value_and_grad(loss)
    for step in range(steps):
        value, found = gradient(module.trainable_parameters(), *lessons[step % len(lessons)])
        optimizer.update(module, found)
        mx.eval(module.parameters(), optimizer.state, value)


def tokens_per_pass(session: Session, head: MTPHead, asked: Sequence[Prompt]) -> Iterator[Result]:
    """Counted, so that noise has no part in it."""
    plain = [
        run(session.drafted_by(Drafts(Drafting.NONE)), prompt, MOST_TOKENS) for prompt in asked
    ]
    for most, wanted in ((1, 1.3), (3, 1.3)):
        drafts = Drafts(Drafting.MTP, always=most, head=head)
        runs = [run(session.drafted_by(drafts), prompt, MOST_TOKENS) for prompt in asked]
        assert [r.ids for r in runs] == [r.ids for r in plain], "the head changed the text"
        tokens = sum(len(r.ids) for r in runs)
        efforts = [r.finished.effort for r in runs]
        right = sum(e.accepted_tokens for e in efforts)
        detail = (
            f"{right} of {sum(e.drafted_tokens for e in efforts)} drafts right, {tokens} tokens"
        )
        what = f"fitted MTP head, blocks of {most}"
        yield Result(what, tokens / sum(e.passes for e in efforts), wanted, detail)


def measure(rounds: int, steps: int) -> Iterator[Result]:
    """All of it."""
    with tempfile.TemporaryDirectory() as folder:
        session = session_of(str(made(Path(folder) / "toy")))
        model = session.parts.model
        drawn_head, head = model.read_head(), model.read_head()
        assert drawn_head is not None
        assert head is not None
        fc = cast("Any", drawn_head)._module.fc
        fc.weight = mx.random.normal(fc.weight.shape, key=mx.random.key(0))
        lessons = questions(session, range(LESSONS))
        asked = questions(session, range(LESSONS, LESSONS + ASKED))
        fitted(session, head, lessons, steps)
        yield from tokens_per_pass(session, head, asked)
        for what, own in (("fitted", head), ("drawn", drawn_head)):
            drafts = Drafts(Drafting.AUTO, head=own)
            yield against_plain(f"wall time, {what} MTP head", session, drafts, asked, rounds, 0.98)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100)
    arguments = parser.parse_args()
    report(measure(arguments.rounds, arguments.steps))

"""The MTP head as a drafter: its guesses by an independent reading, and a text it never changes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import pytest
from mlx.utils import tree_flatten

from qvq_mlx.core.errors import BrokenModelError, UsageError
from qvq_mlx.core.events import Notice
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.setup import Checkpoint, Drafting, Setup
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt
from qvq_mlx.engine import load, loaded
from qvq_mlx.engine.drafting import Drafts
from qvq_mlx.engine.mtp import MTPDrafter
from qvq_mlx.engine.prefill import Reader
from qvq_mlx.engine.prefix import PrefixCache
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.session import Session
from tests.engine.conftest import ids_of, returned
from tests.engine.families import QUESTION, SYSTEM, card_of, opened, write
from tests.engine.heads import HYBRID, Arrays, Made, add, headed
from tests.engine.test_matrix import PROMPTS, WAYS, written


@pytest.fixture(scope="module", params=HYBRID)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return headed(request.param, tmp_path_factory.mktemp("mtp") / "made")


def normed(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """RMSNorm whose weight is stored about zero."""
    return cast("np.ndarray", x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * (1 + weight))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return cast("np.ndarray", 1 / (1 + np.exp(-x)))


def silu(x: np.ndarray) -> np.ndarray:
    return x * sigmoid(x)


def turned(x: np.ndarray, where: np.ndarray, text: Mapping[str, Any]) -> np.ndarray:
    """Rotary positions (3, tokens) in the first part of heads (tokens, heads, width)."""
    rope = text["rope_parameters"]
    half = int(text["head_dim"] * rope["partial_rotary_factor"]) // 2
    speeds = rope["rope_theta"] ** -(np.arange(half) / half)
    angles = where[0][:, None] * speeds
    for axis in (1, 2):  # height and width take every third one, as far as their section goes
        places = np.arange(axis, 3 * rope["mrope_section"][axis], 3)
        angles[:, places] = where[axis][:, None] * speeds[places]
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    one, two = x[..., :half], x[..., half : 2 * half]
    rest = x[..., 2 * half :]
    return np.concatenate([one * cos - two * sin, two * cos + one * sin, rest], axis=-1)


def attended(x: np.ndarray, w: Arrays, where: np.ndarray, text: Mapping[str, Any]) -> np.ndarray:
    """Causal attention with an output gate, over `x` (tokens, width)."""
    tokens, heads, width = len(x), text["num_attention_heads"], text["head_dim"]
    shared = heads // text["num_key_value_heads"]
    both = (x @ w["q_proj"].T).reshape(tokens, heads, 2 * width)
    queries, gate = both[..., :width], both[..., width:]
    keys = (x @ w["k_proj"].T).reshape(tokens, -1, width)
    values = (x @ w["v_proj"].T).reshape(tokens, -1, width).repeat(shared, axis=1)
    queries = turned(normed(queries, w["q_norm"]), where, text)
    keys = turned(normed(keys, w["k_norm"]), where, text).repeat(shared, axis=1)
    scores = np.einsum("qhd,khd->hqk", queries, keys) / np.sqrt(width)
    scores[:, np.triu(np.ones((tokens, tokens), dtype=bool), 1)] = -np.inf
    chances = np.exp(scores - scores.max(-1, keepdims=True))
    chances /= chances.sum(-1, keepdims=True)
    mixed = np.einsum("hqk,khd->qhd", chances, values) * sigmoid(gate)
    return cast("np.ndarray", mixed.reshape(tokens, -1) @ w["o_proj"].T)


def dense(x: np.ndarray, w: Arrays, prefix: str) -> np.ndarray:
    up, gate = (x @ w[f"{prefix}{name}_proj.weight"].T for name in ("up", "gate"))
    return cast("np.ndarray", (silu(gate) * up) @ w[f"{prefix}down_proj.weight"].T)


def mixed(x: np.ndarray, w: Arrays, text: Mapping[str, Any]) -> np.ndarray:
    """The MLP: dense, or the likeliest experts and the shared one."""
    if "num_experts" not in text:
        return dense(x, w, "mlp.")
    chances = np.exp(x @ w["mlp.gate.weight"].T)
    shared = sigmoid(x @ w["mlp.shared_expert_gate.weight"].T)
    rows = shared * dense(x, w, "mlp.shared_expert.")
    for row, (token, chance) in enumerate(zip(x, chances, strict=True)):
        best = np.argsort(-chance)[: text["num_experts_per_tok"]]
        for expert in best:
            share = chance[expert] / chance[best].sum()
            rows[row] += share * dense(token[None], w, f"mlp.experts.{expert}.")[0]
    return rows


def reading(
    head: Arrays, text: Mapping[str, Any], rows: np.ndarray, hidden: np.ndarray, where: np.ndarray
) -> np.ndarray:
    """States (tokens, width) of a head, in float64, from what is written of it."""
    w = {name.removeprefix("mtp."): array.astype(np.float64) for name, array in head.items()}
    layer = {
        name.removeprefix("layers.0."): array
        for name, array in w.items()
        if name.startswith("layers.0.")
    }
    attention = {
        name.split(".")[1]: array for name, array in layer.items() if name.startswith("self_attn.")
    }
    both = [
        normed(rows, w["pre_fc_norm_embedding.weight"]),
        normed(hidden, w["pre_fc_norm_hidden.weight"]),
    ]
    x = np.concatenate(both, axis=-1) @ w["fc.weight"].T
    x = x + attended(normed(x, layer["input_layernorm.weight"]), attention, where, text)
    x = x + mixed(normed(x, layer["post_attention_layernorm.weight"]), layer, text)
    return normed(x, w["norm.weight"])


def expected(made: Made, prompt: Prompt, ids: Sequence[int], count: int) -> tuple[list[int], Any]:
    """The head's `count` guesses behind `ids`, which begin with the prompt, and its states.

    The last of `ids` is the pending one. The hidden states are those of one whole pass.
    """
    from qvq_mlx.engine.prompt import positions

    parts = made.session.parts
    text = json.loads((made.there.folder / "config.json").read_text())["text_config"]
    features = [parts.model.encode(*shown(made, picture)) for picture in prompt.pictures]
    grids = [parts.layout.token_grid(picture) for picture in prompt.pictures]
    where = positions(ids[:-1], grids, parts.model.image_token_id).astype(np.int64)
    embedded = parts.model.embed(ids, features).rows
    language = parts.model._language._model
    hidden = language.model(
        None, inputs_embeds=embedded[:, :-1], position_ids=mx.array(where)[:, None]
    )
    rows = np.array(embedded[0, 1:], dtype=np.float64)
    states = np.array(hidden[0], dtype=np.float64)
    output = np.array(language.lm_head.weight, dtype=np.float64)[: parts.vocabulary.size]
    table = np.array(language.model.embed_tokens.weight, dtype=np.float64)
    guesses: list[int] = []
    while True:
        found = reading(made.head, text, rows, states, where)
        guesses.append(int((output @ found[-1]).argmax()))
        if len(guesses) == count:
            return guesses, found
        rows = np.concatenate([rows, table[guesses[-1]][None]])
        states = np.concatenate([states, found[-1:]])
        where = np.concatenate([where, where[:, -1:] + 1], axis=1)


def shown(made: Made, picture: Any) -> tuple[Any, tuple[int, int]]:
    from qvq_mlx.engine.patches import patches

    layout = made.session.parts.layout
    return patches(picture, layout), layout.grid(picture)


def watched(made: Made, pictures: int, chunk: int = 512) -> tuple[Prompt, Start]:
    prompt = made.session.prompt(QUESTION, made.there.pictures(pictures), SYSTEM)
    reader = Reader(made.session.parts, PrefixCache(None), chunk)
    return prompt, cast("Start", returned(reader.read(prompt, Control(), watched=True)))


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("pictures", "chunk"), [(0, 512), (2, 512), (1, 16)])
def test_guesses_are_those_of_an_independent_reading(made: Made, pictures: int, chunk: int) -> None:
    """Behind the prompt, and behind tokens of which some were guessed and others rejected."""
    prompt, start = watched(made, pictures, chunk)
    head = made.session.parts.model.read_head()
    assert head is not None
    drafter = MTPDrafter(head, start, Sampler(Sampling(), made.session.parts.vocabulary.size))
    drafter.read()
    sequence, offset = start.sequence, start.position - (len(prompt.ids) - 1)
    sequence.mark()
    sequence.forward(mx.array([prompt.ids[-1:]]), start.position)
    ids = list(prompt.ids)
    pending, rejected = 77, [5, 9, 300]
    for accepted in (0, 2):
        found = drafter.propose(ids, mx.array([pending]), 4).tolist()
        guesses, _ = expected(made, prompt, [*ids, pending], 4)
        assert found == guesses
        # the model runs the block, keeps some of it, and goes on in its own way
        block = [pending, *guesses[:accepted], *rejected]
        sequence.mark()
        sequence.forward(mx.array([block]), len(ids) + offset)
        sequence.trim(len(rejected))
        ids += block[: 1 + accepted]
        pending += 101


DRAFTERS = ("lookup", "model", "mtp")


def drafted(made: Made, name: str) -> Session:
    drafts = {
        "lookup": lambda: Drafts(Drafting.LOOKUP, always=4),
        "model": lambda: Drafts(Drafting.MODEL, made.session.reader, always=3),
        "mtp": lambda: made.drafts(3),
    }[name]()
    return Session(Reader(made.session.parts, PrefixCache(None)), drafts)


@pytest.mark.sampled(8)
@pytest.mark.parametrize("name", DRAFTERS)
@pytest.mark.parametrize(("sampling", "way"), WAYS)
def test_no_drafter_changes_the_text(made: Made, name: str, sampling: Sampling, way: str) -> None:
    prompt = made.session.prompt(QUESTION, made.there.pictures(1), SYSTEM)
    plain = written(made.session, prompt, sampling, way)
    assert written(drafted(made, name), prompt, sampling, way) == plain


@pytest.mark.long
@pytest.mark.slow
def test_a_hundred_prompts_drafted_by_the_head(made: Made) -> None:
    """Also where the end of an image is kept from an earlier question, which the head never saw."""
    session = made.session.drafted_by(made.drafts(4))
    for number in range(PROMPTS):
        sampling, way = WAYS[number % len(WAYS)]
        pictures = made.there.pictures(number % 3)
        prompt = session.prompt(f"What is number {number * 37 % 101} of them?", pictures, SYSTEM)
        plain = written(made.session, prompt, sampling, way)
        assert written(session, prompt, sampling, way) == plain, (number, way)


def finished(session: Session, prompt: Prompt, tokens: int) -> tuple[list[int], Finished]:
    steps = list(session.generate(prompt, Generation(Sampling(), tokens), Control()))
    assert isinstance(steps[-1], Finished)
    return ids_of(steps), steps[-1]


def test_a_head_that_is_right_saves_passes(made: Made, tmp_path: Path) -> None:
    """Without its layer, a head that hands the embedding on repeats the token; so does this model,
    whose layers add nothing and whose output matrix is its embedding.
    """
    folder = write(made.there.family, tmp_path / "echo")
    path = folder / "model.safetensors"
    weights = cast("dict[str, mx.array]", mx.load(str(path)))
    mx.eval(weights)
    silent = ("o_proj.weight", "out_proj.weight", "down_proj.weight")
    table = weights["model.language_model.embed_tokens.weight"]
    head = {name: mx.array(array) for name, array in made.head.items()}
    width = table.shape[1]
    head["mtp.fc.weight"] = mx.concatenate([mx.eye(width), mx.zeros((width, width))], axis=1)
    whole = weights | head | {"lm_head.weight": table}
    flat = {
        name: mx.zeros_like(array)
        for name, array in whole.items()
        if name.endswith(silent) and "visual" not in name
    }
    flat |= {
        name: mx.zeros_like(whole[name])
        for name in (
            "model.language_model.norm.weight",
            "mtp.norm.weight",
            "mtp.pre_fc_norm_embedding.weight",
        )
    }
    mx.save_safetensors(str(path), whole | flat)
    session = opened(folder, made.there.family)
    prompt = session.prompt(QUESTION, [], SYSTEM)
    drafts = Drafts(Drafting.MTP, always=3, head=session.parts.model.read_head())
    plain, _ = finished(session, prompt, 40)
    found, last = finished(session.drafted_by(drafts), prompt, 40)
    assert found == plain
    assert len(plain) == 40
    assert last.effort.drafter == "mtp"
    assert last.effort.accepted_tokens == last.effort.drafted_tokens
    assert last.effort.passes <= 12


def as_mlx(name: str, array: mx.array) -> mx.array:
    """A weight in MLX's layout: norms as they scale, convolutions with their width before the 1."""
    if name.endswith("conv1d.weight"):
        return array.transpose(0, 2, 1)
    about_zero = "norm" in name and ".linear_attn." not in name and "visual" not in name
    return array + 1 if about_zero else array


@pytest.mark.parametrize("prefix", ["mtp.", "language_model.mtp."])
def test_both_namings_and_layouts_are_one_head(made: Made, tmp_path: Path, prefix: str) -> None:
    folder = add(write(made.there.family, tmp_path / "made"), made.head)
    path = folder / "model.safetensors"
    weights = cast("dict[str, mx.array]", mx.load(str(path)))
    renamed = {
        name.replace("mtp.", prefix, 1): as_mlx(name, array) for name, array in weights.items()
    }
    mx.eval(renamed)
    mx.save_safetensors(str(path), renamed)
    ours, theirs = (
        dict(tree_flatten(cast("Any", session.parts.model.read_head())._module.parameters()))
        for session in (made.session, opened(folder, made.there.family))
    )
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(np.array(ours[name]), np.array(theirs[name])) for name in ours)


@pytest.mark.parametrize("settings", ["mtp.fc", "language_model.mtp.fc"])
def test_a_quantized_head_drafts(made: Made, tmp_path: Path, settings: str) -> None:
    """Matrices in groups of 32 where they are wide enough, with settings of their own."""
    folder = write(made.there.family, tmp_path / "made")
    head: dict[str, mx.array] = {}
    for name, array in made.head.items():
        weight = mx.array(array)
        if weight.ndim != 2 or weight.shape[1] % 32:
            head[name] = weight
            continue
        own = name == "mtp.fc.weight"
        parts = mx.quantize(weight, 32, 4, mode="mxfp4") if own else mx.quantize(weight, 32, 4)
        for leaf, part in zip(("weight", "scales", "biases"), parts, strict=False):
            head[f"{name.removesuffix('weight')}{leaf}"] = part
    add(folder, head)
    path = folder / "config.json"
    fc = {"group_size": 32, "bits": 4, "mode": "mxfp4"}
    config = json.loads(path.read_text())
    config["quantization"] = {"group_size": 32, "bits": 4, settings: fc}
    path.write_text(json.dumps(config))
    session = opened(folder, made.there.family)
    drafts = Drafts(Drafting.MTP, always=3, head=session.parts.model.read_head())
    prompt = session.prompt(QUESTION, [], SYSTEM)
    plain, _ = finished(made.session, prompt, 12)
    found, last = finished(session.drafted_by(drafts), prompt, 12)
    assert found == plain
    assert last.effort.drafter == "mtp"
    assert last.effort.drafted_tokens > 0


def test_a_head_that_was_left_out_is_said(made: Made, tmp_path: Path) -> None:
    """config.json may speak of it all the same. Unasked, another drafter is taken."""
    folder = write(made.there.family, tmp_path / "made")
    card = card_of(made.there.family, folder)
    with pytest.raises(UsageError, match="has no MTP head to draft with"):
        loaded(card, folder, Setup(Drafting.MTP))
    assert cast("Session", loaded(card, folder, Setup(Drafting.AUTO)))._drafts._head is None


def test_half_a_head_is_no_head(made: Made, tmp_path: Path) -> None:
    half = {name: array for name, array in made.head.items() if "k_proj" not in name}
    folder = add(write(made.there.family, tmp_path / "made"), half)
    card = card_of(made.there.family, folder)
    with pytest.raises(BrokenModelError, match=r"mtp.*k_proj"):
        loaded(card, folder, Setup(Drafting.MTP))
    steps = list(load(Checkpoint(card, folder), Setup(Drafting.AUTO), Control()))
    (said,) = [step for step in steps if isinstance(step, Notice)]
    assert re.search(r"no MTP head drafts: .*k_proj", said.text)
    session = cast("Session", loaded(card, folder, Setup(Drafting.AUTO)))
    prompt = session.prompt(QUESTION, [], SYSTEM)
    assert finished(session, prompt, 5)[0] == finished(made.session, prompt, 5)[0]

"""The memory formula, its verdicts, and what the documents say of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import DoesNotFitError, ExitCode
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import EstimateModel, Field, RunProgram
from qvq_mlx.core.request import Method, Policy, Request
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.memory import admission
from qvq_mlx.memory.choice import best, instead, may_be_default
from qvq_mlx.memory.estimate import (
    Use,
    Verdict,
    estimate,
    kv_bytes_per_token,
    tokens_per_s,
    typical,
)
from qvq_mlx.memory.machine import hypothetical
from qvq_mlx.store import registry
from tests.conftest import ROOT, World
from tools.memory import PHOTO_PX, photo_use

Build = Callable[..., World]
GIB = 2**30
CARDS = registry.cards()
DEFAULTS = {
    8: "qwen3.5-4b",
    16: "qwen3.5-9b",
    24: "qwen3.5-9b",
    32: "qwen3.6-35b",
    36: "qwen3.6-35b",
    48: "qwen3.6-35b",
    64: "qvq-72b-preview",
    96: "qvq-72b-preview",
    128: "qvq-72b-preview",
}
BY_NAME = {model.name: model for model in CARDS}
BADNESS = {Verdict.YES: 0, Verdict.TIGHT: 1, Verdict.NO: 2}
tokens = st.integers(0, 100_000)
memories = st.integers(GIB, 1024 * GIB)
cards = st.sampled_from(CARDS).map(
    lambda card: replace(card, download_bytes=card.download_bytes or 6_000_000)
)


def card(name: str = "qvq"):
    return registry.find(name)


def badness(model, machine: Machine, use: Use) -> int:
    return BADNESS[estimate(model, machine, use).verdict]


@pytest.mark.parametrize(
    ("name", "kib"),
    [
        ("qvq", 320),
        ("qwen2.5-vl-32b", 256),
        ("qwq", 256),
        ("qwen3-vl-8b-thinking", 144),
        ("qwen3-vl-4b-thinking", 144),
        ("qwen2-vl-7b", 56),
        ("qwen2.5-vl-3b", 36),
        ("qwen2-vl-2b", 28),
        ("qwen3.5-4b", 32),  # of 32 layers 8 keep any
        ("qwen3.5-122b", 24),
    ],
)
def test_kv_bytes_per_token(name: str, kib: int) -> None:
    shape = card(name).shape
    assert shape is not None
    assert kv_bytes_per_token(shape) == kib * 1024


@pytest.mark.parametrize(
    ("name", "memory_gib", "verdict"),
    [
        ("qvq", 48, "no"),
        ("qvq", 64, "yes"),
        ("qvq", 128, "yes"),
        ("qvq-3bit", 48, "tight"),
        ("qvq-6bit", 96, "tight"),
        ("qvq-8bit", 96, "no"),
        ("qvq-8bit", 128, "yes"),
    ],
)
def test_which_quantization_fits_which_mac(name: str, memory_gib: int, verdict: str) -> None:
    model = card(name)
    assert estimate(model, hypothetical(memory_gib * GIB), typical(model)).verdict == verdict


@given(cards, memories, memories, tokens, tokens, tokens, st.booleans())
def test_more_memory_is_never_worse(
    model, one: int, other: int, image: int, prompt: int, budget: int, fused: bool
) -> None:
    use = Use(image, prompt, budget, 0)
    small, large = (replace(hypothetical(m), fused_attention=fused) for m in sorted((one, other)))
    assert badness(model, large, use) <= badness(model, small, use)


@given(cards, memories, tokens, tokens, tokens, tokens, st.booleans())
def test_more_tokens_are_never_better(
    model, memory: int, one: int, other: int, image: int, budget: int, fused: bool
) -> None:
    machine = replace(hypothetical(memory), fused_attention=fused)
    less, more = sorted((one, other))
    images = [badness(model, machine, Use(n, 100, budget, 0)) for n in (less, more)]
    budgets = [badness(model, machine, Use(image, 100, n, 0)) for n in (less, more)]
    answers = [badness(model, machine, Use(image, 100, budget, n)) for n in (less, more)]
    for verdicts in (images, budgets, answers):
        assert verdicts == sorted(verdicts)


def test_what_is_not_known_is_not_judged() -> None:
    model = card()
    assert estimate(model, Machine(), Use(1, 1, 1, 1)).verdict is Verdict.UNKNOWN
    unknown = replace(model, download_bytes=0)
    assert estimate(unknown, hypothetical(GIB), Use(1, 1, 1, 1)).verdict is Verdict.UNKNOWN
    shapeless = estimate(replace(model, shape=None), hypothetical(64 * GIB), Use(1, 1, 1, 1))
    assert (shapeless.verdict, shapeless.kv_bytes) == (Verdict.YES, None)
    assert any("unknown" in line for line in shapeless.lines())


def test_speed_is_bandwidth_over_bytes() -> None:
    model = card()
    machine = Machine(chip="Apple M2 Max", bandwidth_bytes_per_s=400e9)
    assert tokens_per_s(model, machine) == pytest.approx(400e9 / 41.3e9 * 0.8)
    ultra = Machine(chip="Apple M2 Ultra", bandwidth_bytes_per_s=800e9)
    assert tokens_per_s(model, ultra) == pytest.approx(800e9 / 41.3e9 * 0.63)
    assert tokens_per_s(model, Machine()) is None


def test_the_default_is_never_research_only_embedded_unseeing_or_unconfirmed() -> None:
    for model in CARDS:
        if not model.rank or model.licence == "Qwen-Research" or not model.sees:
            assert not may_be_default(model)
        if "repo" in model.unconfirmed:
            assert not may_be_default(model)


@given(memories)
def test_the_default_fits(memory: int) -> None:
    machine = hypothetical(memory)
    found = best(CARDS, machine)
    if found is not None:
        assert estimate(found, machine, typical(found)).verdict is not Verdict.NO


def test_the_default_by_memory_is_the_one_that_is_documented() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    for memory, name in DEFAULTS.items():
        found = best(CARDS, hypothetical(memory * GIB))
        assert found is not None
        assert found.name == name
        assert f"| {memory} GiB | `{name}` |" in page


def test_sparse_experts_are_all_in_memory_and_some_of_them_in_the_speed() -> None:
    sparse, dense = BY_NAME["qwen3-vl-30b-thinking"], BY_NAME["qwen3-vl-32b-thinking"]
    machine = Machine(chip="Apple M4 Max", bandwidth_bytes_per_s=546_000_000_000)
    assert sparse.shape is not None
    # 3 x 2048 x 768 x 48 layers for each of the 120 experts that a token is not sent to
    active = sparse.shape.parameters - 3 * 2048 * 768 * 48 * 120
    assert sparse.shape.active_share == pytest.approx(active / sparse.shape.parameters)
    found = estimate(sparse, hypothetical(64 * GIB), typical(sparse))
    assert found.weights_bytes == sparse.download_bytes
    fast, slow = tokens_per_s(sparse, machine), tokens_per_s(dense, machine)
    assert fast == pytest.approx(0.8 * 546e9 / (sparse.download_bytes * sparse.shape.active_share))
    assert slow is not None
    assert fast > 6 * slow


def test_a_vision_encoder_that_stays_in_16_bit_is_counted_so() -> None:
    """Qwen3-VL-4B in 4 bit is 2.9 GiB, not 2.3."""
    assert BY_NAME["qwen3-vl-4b-thinking"].download_bytes == pytest.approx(2.9 * GIB, rel=0.02)
    eight = BY_NAME["qwen3-vl-30b-thinking"]
    assert eight.shape is not None
    assert eight.shape.vision is not None
    computed = (eight.shape.parameters - eight.shape.vision.parameters) * 4.5 / 8
    published = eight.download_bytes
    assert computed + 2 * eight.shape.vision.parameters == pytest.approx(published, rel=0.01)


@given(st.integers(8, 200), st.integers(0, 60_000), st.sampled_from([None, 8, 4]))
def test_what_is_offered_instead_fits(memory_gib: int, budget: int, kv_bits: int | None) -> None:
    machine, model = hypothetical(memory_gib * GIB), BY_NAME["qvq-72b-preview"]
    use = replace(typical(model), budget_tokens=budget, kv_bits=kv_bits)
    for what, offer in instead(model, CARDS, machine, use):
        given = dict(offer.settings) if isinstance(offer, EstimateModel) else {}
        if isinstance(offer, RunProgram):
            limit = int(offer.words[-1].partition("=")[2]) * 2**20
            raised = replace(machine, working_set_bytes=limit)
            assert estimate(model, raised, use).verdict is not Verdict.NO, what
        if isinstance(offer, EstimateModel) and Field.BUDGET in given:
            tokens = int(given.get(Field.DETAIL, use.image_tokens))
            bits = int(given[Field.KV_BITS]) if Field.KV_BITS in given else None
            assert kv_bits in (None, bits), what
            other = replace(
                use, budget_tokens=int(given[Field.BUDGET]), image_tokens=tokens, kv_bits=bits
            )
            card = BY_NAME[offer.name]
            assert estimate(card, machine, other).verdict is not Verdict.NO, what


def test_a_smaller_cache_is_offered_where_it_is_enough() -> None:
    model = BY_NAME["qvq-72b-preview"]
    use = replace(typical(model), budget_tokens=32_768)
    smallest = (_smallest_mac(model, use), _smallest_mac(model, replace(use, kv_bits=8)))
    assert smallest[1] < smallest[0]
    offered = dict(instead(model, CARDS, hypothetical(smallest[1]), use))
    offer = offered["keys and values of 8 bit"]
    assert isinstance(offer, EstimateModel)
    assert (Field.KV_BITS, "8") in offer.settings
    known = dict(instead(model, CARDS, hypothetical(smallest[1] // 2), replace(use, kv_bits=8)))
    assert "keys and values of 8 bit" not in known


def _smallest_mac(model: ModelCard, use: Use) -> int:
    sizes = (gib * GIB for gib in range(1, 200))
    return next(
        size for size in sizes if estimate(model, hypothetical(size), use).verdict is not Verdict.NO
    )


@pytest.fixture
def photo(tmp_path: Path) -> str:
    path = tmp_path / "photo.png"
    Image.new("L", PHOTO_PX).save(path)
    return str(path)


@pytest.mark.parametrize("memory", ["48GiB", "64GiB", "128GiB"])
@pytest.mark.parametrize("budget", [4096, 32768])
def test_the_command_says_what_the_document_says(
    world: Build, photo: str, memory: str, budget: int
) -> None:
    arguments = ("fit", "qvq", "--memory", memory, "--image", photo, "--budget", str(budget))
    w = world()
    code = w.run(*arguments, "--json")
    document = json.loads(w.out)
    needed = document["needed_bytes"] / GIB
    limit = document["estimate"]["working_set_bytes"] / GIB
    row = (
        f"| {memory[:-3]} GiB | {budget:,} | {needed:.1f} GiB | {limit:.1f} GiB"
        f" | {document['verdict']} |"
    )
    assert row in (ROOT / "docs/memory.md").read_text(encoding="utf-8")
    assert code == (ExitCode.NO_MEMORY if document["verdict"] == "no" else ExitCode.OK)
    assert document["use"]["image_tokens"] == photo_use(card(), budget).image_tokens
    w = world()
    assert w.run(*arguments) == code
    assert f"verdict\t{document['verdict']}: " in w.out


def test_an_mtp_head_that_is_asked_for_is_counted(world: Build) -> None:
    model = card("qwen3.6-27b")
    resolved = Resolved(model, Path("/w"), model.system, model.sampling, model.max_tokens)
    request, machine = Request("What? " * 2000, (), model.name), hypothetical(64 * GIB)
    plain, traced = (
        admission._estimate(
            replace(resolved, setup=Setup(drafting)), None, request, 0, machine
        ).needed_bytes
        for drafting in (Drafting.AUTO, Drafting.MTP)
    )
    assert model.shape is not None
    keys_and_values = 2 * model.shape.kv_heads * model.shape.head_dim
    assert traced - plain == 1025 * (model.shape.hidden + keys_and_values) * 2


def test_without_a_name_it_is_the_best_that_fits(world: Build) -> None:
    w = world()
    assert w.run("fit", "--memory", "128 GB") == ExitCode.OK
    assert w.out.startswith("model\tqvq-72b-preview\n")


def test_a_size_that_is_none_is_refused(world: Build) -> None:
    for text in ("much", "0", "-1GiB", "64XB", "1e9"):
        w = world()
        assert w.run("fit", "qvq", f"--memory={text}") == ExitCode.USAGE
        assert "qvq fit qvq --memory 36GB" in w.err


def test_fit_does_not_need_to_know_the_machine(world: Build) -> None:
    w = world()
    assert w.run("fit", "qvq") == ExitCode.OK
    assert "needed; this machine's memory is not known" in w.out


def asked_of(model: ModelCard) -> tuple[Resolved, Request]:
    resolved = Resolved(model, Path("/w"), model.system, model.sampling, model.max_tokens)
    return resolved, Request("What?", ("cat.heic",), model.name)


@pytest.mark.parametrize(
    "rows",
    [
        lambda request, count: replace(request, method=Method(votes=count)),
        lambda request, count: replace(request, policy=Policy(in_flight=count)),
    ],
    ids=["samples of a vote", "questions in flight"],
)
def test_every_row_has_a_kv_cache_of_its_own(
    world: Build, rows: Callable[[Request, int], Request]
) -> None:
    model = card()
    resolved, request = asked_of(model)
    pictures = [Picture("cat.heic", 4000, 3000, 1148, 868, 1271, "", b"")]
    needed = {}
    for count in (1, 2, 5):
        # a Mac on which the model just does not fit tells its needs
        env = replace(world([]).env, machine=lambda: replace(Machine(), working_set_bytes=GIB))
        with pytest.raises(DoesNotFitError) as refused:
            admission.check(resolved, rows(request, count), pictures, env)
        needed[count] = float(refused.value.message.split(": ")[1].split(" GiB")[0])
    kv_gib = kv_bytes_per_token(model.shape) * 9728 / GIB  # 8,192 + 1,271 and the prompt, rounded
    assert needed[2] - needed[1] == pytest.approx(kv_gib, abs=0.11)
    assert needed[5] - needed[1] == pytest.approx(4 * kv_gib, abs=0.11)


def test_as_many_are_in_flight_as_are_no_tight_fit(world: Build) -> None:
    resolved, request = asked_of(card())

    def most(gib: float) -> int:
        machine = replace(Machine(), working_set_bytes=int(gib * GIB))
        return admission.most_in_flight(
            resolved, request, 8, replace(world([]).env, machine=lambda: machine)
        )

    found = [most(gib) for gib in range(20, 200)]
    assert found == sorted(found)
    assert set(found) == set(range(1, 9))
    unknown = replace(world([]).env, machine=Machine)
    assert admission.most_in_flight(resolved, request, 8, unknown) == 8


@pytest.mark.parametrize("memory", ["8", "16GB", "24", "32", "36", "48", "64", "96", "128", "512"])
def test_the_commonest_macs_have_a_speed_without_a_chip(
    world: Callable[..., World], memory: str
) -> None:
    there = world()
    assert there.run("models", "--memory", memory, "--json") == 0
    models = {one["name"]: one for one in json.loads(there.out)["models"]}
    assert models["qwen2.5-vl-7b"]["tokens_per_s"] > 5
    there = world()
    assert there.run("fit", "qwen2.5-vl-7b", "--memory", memory) in {0, 5}
    assert re.search(r"^speed\s+\d[\d.]* tokens/s expected of M\d", there.out, re.MULTILINE)


def test_every_row_of_a_hybrid_model_has_two_sets_of_states(world: Build) -> None:
    """The one after the last token, and the one before it."""
    model = card("qwen3.6-27b")
    resolved, request = asked_of(model)
    assert model.shape is not None
    linear = model.shape.recurrent
    assert linear is not None
    one, three = (
        admission._estimate(
            resolved, None, replace(request, method=Method(votes=n)), 1280, hypothetical(96 * GIB)
        )
        for n in (1, 3)
    )
    assert one.kv_bytes is not None
    own = one.kv_bytes + linear.recurrent_bytes
    assert three.needed_bytes - one.needed_bytes == 2 * own

"""`qvq convert`: the same weights as mlx-vlm's own conversion, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle
from qvq_mlx.core.errors import BrokenModelError, OutputError, UsageError
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.request import Sampling
from qvq_mlx.engine.convert import Conversion
from qvq_mlx.engine.flat import flat
from qvq_mlx.engine.recipe import Dtype, Recipe
from qvq_mlx.families import ModelType, family_named
from qvq_mlx.store import registry, staging
from qvq_mlx.store.card_text import card_text
from qvq_mlx.system import space
from tests.conftest import EXAMPLES, ROOT, World
from tools.families import drawn
from tools.make_checkpoint import Options, make_checkpoint

TINY = ROOT / "models" / "qvq-tiny"
FAMILIES = ROOT / "tests" / "data" / "families"
LOSSLESS = Recipe(bits=0, dtype=Dtype.FLOAT32)

TIED = {family: family in (ModelType.QWEN2_VL, ModelType.QWEN3_VL) for family in ModelType}

# Bits, type, and bounds of mean and largest |difference| over the logits' standard deviation.
# Measured: 0.007 0.05, 0.007 0.04, 0.022 0.18, 0.13 0.72.
BOUNDS = (
    (0, Dtype.BFLOAT16, 0.02, 0.2),
    (8, Dtype.FLOAT32, 0.02, 0.2),
    (8, Dtype.BFLOAT16, 0.05, 0.4),
    (4, Dtype.FLOAT32, 0.3, 1.5),
)

Arrays = dict[str, mx.array]


def arrays(folder: Path) -> Arrays:
    found: Arrays = {}
    for path in folder.glob("*.safetensors"):
        found |= cast("Arrays", mx.load(str(path)))
    return found


def converted(source: Path, target: Path, recipe: Recipe, shard_bytes: int = 2**32) -> Path:
    conversion = Conversion(source, recipe)
    target.mkdir()
    done = list(conversion.write(target, shard_bytes))
    assert done == sorted(done)
    assert done[-1] == conversion.read_bytes
    assert conversion.write_bytes == sum(array.nbytes for array in arrays(target).values())
    return target


def same(ours: Arrays, theirs: Arrays) -> None:
    assert ours.keys() == theirs.keys()
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.shape == theirs[name].shape, name
        assert mx.array_equal(array, theirs[name]), name


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model as transformers would have it: flat config, old names, float32."""
    folder = tmp_path_factory.mktemp("source") / "qvq-tiny-source"
    shutil.copytree(TINY, folder)
    config = json.loads((folder / "config.json").read_text())
    bits = config.pop("quantization")["bits"]
    config.pop("quantization_config")
    (folder / "config.json").write_text(json.dumps(config))
    stored = arrays(folder)
    weights: Arrays = {}
    for name, array in stored.items():
        stem = name.removesuffix(".weight")
        if name.endswith((".scales", ".biases")):
            continue
        if f"{stem}.scales" in stored:
            scales, biases = stored[f"{stem}.scales"], stored[f"{stem}.biases"]
            array = mx.dequantize(array, scales, biases, group_size=64, bits=bits)
        if name.endswith("patch_embed.proj.weight"):
            array = mx.contiguous(array.transpose(0, 4, 1, 2, 3))
        name = name.replace("vision_tower.", "visual.").replace("language_model.model.", "model.")
        weights[name] = array
    mx.eval(weights)
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "pt"})
    return folder


def family_source(family: ModelType, folder: Path) -> Path:
    """A checkpoint of the family as transformers 5 saves it."""
    shutil.copytree(FAMILIES / family, folder)
    shutil.copy(TINY / "tokenizer.json", folder)
    weights = drawn.weights(json.loads((folder / "weights.json").read_text()))
    mx.save_safetensors(
        str(folder / "model.safetensors"), {name: mx.array(w) for name, w in weights.items()}
    )
    return folder


def logits(folder: Path, picture: Picture) -> np.ndarray:
    """The logits after a prompt with one picture, through mlx-vlm's own forward pass."""
    from mlx_vlm.utils import load_model

    from qvq_mlx.engine import loaded
    from qvq_mlx.engine.patches import patches

    session = cast("Any", loaded(registry.resolve(str(folder), folder)[0], folder))
    prompt = session.prompt("How many red circles are there?", [picture], None)
    layout = session.parts.layout
    out = load_model(folder)(
        mx.array([prompt.ids]),
        mx.array(patches(picture, layout)),
        image_grid_thw=mx.array([[1, *layout.grid(picture)]]),
    ).logits
    return np.array(out[0].astype(mx.float32))


@pytest.mark.parametrize("bits", [4, 8, 0])
def test_the_weights_are_those_of_mlx_vlms_convert(
    tmp_path: Path, source: Path, bits: int, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlx_vlm import convert

    convert(
        str(source),
        str(tmp_path / "theirs"),
        quantize=bits > 0,
        q_bits=bits or None,
        q_group_size=64,
        dtype="bfloat16",
        trust_remote_code=False,
    )
    ours = converted(source, tmp_path / "ours", Recipe(bits))
    same(arrays(ours), arrays(tmp_path / "theirs"))


def stacked(name: str, array: mx.array) -> bool:
    return ".experts." in name and array.ndim == 3


@pytest.mark.parametrize("family", list(ModelType))
def test_every_family_gets_the_weights_that_mlx_vlm_makes(
    tmp_path: Path, family: ModelType
) -> None:
    from mlx.utils import tree_flatten
    from mlx_vlm.quant_utils import quantize_model
    from mlx_vlm.utils import load_model, skip_multimodal_module

    theirs = family_source(family, tmp_path / "source")
    ours = converted(theirs, tmp_path / "ours", Recipe(4, 32))
    # mlx-vlm does not read the nested layout of two of the families
    config = json.loads((theirs / "config.json").read_text())
    renamed = {
        name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): array
        for name, array in arrays(theirs).items()
    }
    if family_named(family).nested_config:
        # experts as the published files have them; transformers 5 saves rows before columns
        renamed = {
            name: mx.contiguous(array.transpose(0, 2, 1)) if stacked(name, array) else array
            for name, array in arrays(theirs).items()
        }
    mx.eval(renamed)
    mx.save_safetensors(str(theirs / "model.safetensors"), renamed)
    (theirs / "config.json").write_text(
        json.dumps(flat(config, family_named(family), tied=TIED[family]))
    )
    model = load_model(theirs)
    kept = (".A_log", ".dt_bias")  # mlx-vlm keeps the first alone
    cast_down = {
        path: array if path.endswith(kept) else array.astype(mx.bfloat16)
        for path, array in tree_flatten(model.parameters())
    }
    model.load_weights(list(cast_down.items()))

    def settings(path: str, _: object) -> bool | dict[str, object]:
        least = family_named(family).least_bits(path)
        return {"group_size": 32, "bits": least} if least else not skip_multimodal_module(path)

    model, _ = quantize_model(model, {}, 32, 4, quant_predicate=settings)
    expected = cast("Arrays", dict(tree_flatten(model.parameters())))
    same(arrays(ours), expected)
    reread = dict(tree_flatten(load_model(ours).parameters()))
    same(cast("Arrays", reread), expected)


def test_without_quantization_in_float32_nothing_changes(
    tmp_path: Path, source: Path, picture: Callable[[Path], Picture]
) -> None:
    ours = converted(source, tmp_path / "ours", LOSSLESS)
    again = converted(ours, tmp_path / "again", LOSSLESS)
    same(arrays(again), arrays(ours))
    read = picture(EXAMPLES / "shapes.png")
    assert np.array_equal(logits(ours, read), logits(source, read))


def test_logits_stay_within_a_bound_of_the_original(
    tmp_path: Path, picture: Callable[[Path], Picture]
) -> None:
    options = Options(layers=4)
    source = make_checkpoint("tiny", tmp_path / "source", options)
    read = picture(EXAMPLES / "shapes.png")
    expected = logits(source, read)
    for bits, dtype, mean_bound, max_bound in BOUNDS:
        ours = converted(source, tmp_path / f"{bits}-{dtype}", Recipe(bits, dtype=dtype))
        off = np.abs(logits(ours, read) - expected) / expected.std()
        assert off.mean() < mean_bound
        assert off.max() < max_bound


def test_shards_are_bounded_and_so_is_memory(tmp_path: Path) -> None:
    source = make_checkpoint("tiny", tmp_path / "source", Options(layers=24))
    whole = converted(source, tmp_path / "whole", Recipe(4))
    mx.clear_cache()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    conversion = Conversion(source, Recipe(4))
    (tmp_path / "parts").mkdir()
    for _ in conversion.write(tmp_path / "parts", 2**18):
        pass
    # the largest tensor has 1,088 x 128 float32; packed and cast it is less than as much again
    assert mx.get_peak_memory() - before < 3 * 1088 * 128 * 4 < conversion.read_bytes / 4
    index = json.loads((tmp_path / "parts" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == conversion.write_bytes
    for name, file in index["weight_map"].items():
        assert name in mx.load(str(tmp_path / "parts" / file))
    files = set(index["weight_map"].values())
    assert len(files) > 4
    assert max((tmp_path / "parts" / file).stat().st_size for file in files) < 2**18 + 2**14
    same(arrays(tmp_path / "parts"), arrays(whole))


@pytest.mark.slow
def test_the_program_converts_and_then_answers(
    tmp_path: Path, source: Path, world: Callable[..., World]
) -> None:
    made = world()
    assert made.run("convert", str(source), str(tmp_path / "made")) == 0
    assert made.out.endswith("  4 bit\n")
    assert made.err == ""
    card, _ = registry.resolve(str(tmp_path / "made"), tmp_path)
    assert card.thinking.style is ThinkingStyle.MARKER  # qvq-tiny's, by its name
    asked = world()
    image = str(EXAMPLES / "shapes.png")
    question = "How many red circles are there?"
    assert asked.run("ask", "-m", str(tmp_path / "made"), "-x", image, question) == 0
    same_question = world()
    assert same_question.run("ask", "-m", "tiny", "-x", image, question) == 0
    assert asked.out == same_question.out


def test_a_folders_own_card_comes_before_its_name(tmp_path: Path, source: Path) -> None:
    folder = tmp_path / "qvq-tiny"
    shutil.copytree(source, folder)
    (folder / registry.CARD).write_text(
        'name = "mine"\nsummary = ""\nfamily = "qwen2_vl"\nlicence = ""\nsystem = "Be brief."\n'
        '[thinking]\nstyle = "tag"\n'
    )
    card = registry.find(str(folder))
    assert card.system == "Be brief."
    assert card.thinking.style is ThinkingStyle.TAG
    assert card.folder == str(folder)


texts = st.text(st.characters(codec="utf-8"))


@given(
    st.builds(
        ModelCard,
        name=texts,
        summary=texts,
        family=texts,
        licence=texts,
        system=st.none() | texts,
        sees=st.booleans(),
        max_tokens=st.integers(1, 10**6),
        thinking=st.builds(
            Thinking,
            style=st.sampled_from(ThinkingStyle),
            markers=st.lists(texts).map(tuple),
            labels=st.lists(texts).map(tuple),
            open_tag=texts,
            closing=texts,
        ),
        sampling=st.builds(Sampling, st.floats(0, 5), st.floats(0, 1), st.integers(0, 99)),
        direct_sampling=st.none() | st.just(Sampling()) | st.builds(Sampling, st.floats(0, 5)),
    )
)
def test_a_card_survives_its_text(card: ModelCard) -> None:
    path = _SCRATCH / "card.toml"
    path.write_text(card_text(card), encoding="utf-8", newline="")
    assert registry.read_card(path) == card


@pytest.fixture(autouse=True)
def _scratch(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _SCRATCH  # noqa: PLW0603 (hypothesis wants no function-scoped fixture)
    _SCRATCH = tmp_path_factory.mktemp("cards")


_SCRATCH = Path()


@pytest.mark.parametrize(
    ("name", "value"), [("max_tokens", "true"), ("system", "3"), ("name", "[]")]
)
def test_a_card_with_values_of_other_types_is_refused(
    tmp_path: Path, name: str, value: str
) -> None:
    good = {"name": '"a"', "summary": '""', "family": '""', "licence": '""', name: value}
    (tmp_path / "card.toml").write_text("".join(f"{k} = {v}\n" for k, v in good.items()))
    with pytest.raises(UsageError, match=f"{name} is"):
        registry.read_card(tmp_path / "card.toml")


def test_a_pipe_in_place_of_the_weights_is_not_waited_for(tmp_path: Path) -> None:
    source = Path(shutil.copytree(TINY, tmp_path / "source"))
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    for key in ("quantization", "quantization_config"):
        config.pop(key, None)
    (source / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for path in source.glob("*.safetensors*"):
        path.unlink()
    os.mkfifo(source / "model.safetensors")
    with pytest.raises(BrokenModelError, match="is no file"):
        Conversion(source, LOSSLESS)


def test_what_cannot_be_converted_is_one_clear_error(
    tmp_path: Path, source: Path, world: Callable[..., World]
) -> None:
    target = str(tmp_path / "target")

    def refused(code: int, message: str, *argv: str) -> None:
        it = world()
        assert it.run("convert", *argv) == code
        assert message in it.err
        assert it.out == ""
        assert not Path(target).exists()

    pickled = tmp_path / "pickled"
    shutil.copytree(source, pickled, ignore=shutil.ignore_patterns("*.safetensors"))
    (pickled / "pytorch_model.bin").write_bytes(b"x")
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    refused(4, "is no folder", str(tmp_path / "nothing"), target)
    refused(4, "is a pickle", str(pickled), target)
    refused(2, "quantized already, to 4 bits", str(TINY), target)
    refused(2, "is not empty", str(source), str(full))
    refused(2, "holds no checkpoint", str(source), str(full), "--force")
    refused(2, "holds the source", str(source), str(source.parent), "--force")
    refused(2, "--bits", str(source), target, "--bits", "7")
    assert (full / "notes.txt").read_text() == "mine"


def test_a_config_with_half_a_character_is_written(tmp_path: Path, source: Path) -> None:
    """JSON can spell a lone surrogate, and UTF-8 cannot."""
    shutil.copytree(source, tmp_path / "odd")
    config = json.loads((source / "config.json").read_text()) | {"name": "\ud800"}
    (tmp_path / "odd" / "config.json").write_text(json.dumps(config))
    (tmp_path / "new").mkdir()
    list(Conversion(tmp_path / "odd", Recipe(0, 64, Dtype.FLOAT32)).write(tmp_path / "new"))
    assert json.loads((tmp_path / "new" / "config.json").read_text())["name"] == "\ud800"


def test_a_full_disk_is_seen_before_anything_is_written(
    tmp_path: Path, source: Path, world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(space, "free_bytes", lambda _target: 1000)
    it = world()
    assert it.run("convert", str(source), str(tmp_path / "target")) == 2
    assert "1000 bytes are free" in it.err
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_target_is_whole_or_as_it_was(tmp_path: Path, end: BaseException) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "config.json").write_text("old")

    def broken() -> None:
        with staging.staged(target) as folder:
            (folder / "config.json").write_text("half")
            raise end

    with pytest.raises((KeyboardInterrupt, OutputError)):
        broken()
    assert (target / "config.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
    with staging.staged(target) as folder:
        (folder / "config.json").write_text("new")
        with pytest.raises(OutputError, match="another qvq writes"), staging.staged(target):
            pass
    assert (target / "config.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_the_next_run_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    for name in (".target.qvq-part", ".target.qvq-old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    # killed between two renames: what was moved aside is the only whole one
    target = tmp_path / "target"

    def seen() -> str:
        with staging.staged(target) as folder:
            assert not any(folder.iterdir())
            return (target / "file").read_text()

    assert seen() == ".target.qvq-old"
    assert not (tmp_path / ".target.qvq-part").exists()


def test_only_a_terminal_gets_a_status_line(
    tmp_path: Path, source: Path, world: Callable[..., World]
) -> None:
    it = world(err_tty=True)
    assert it.run("convert", str(source), str(tmp_path / "shown")) == 0
    assert "convert " in it.err
    assert it.err.rstrip().endswith("\x1b[?25h")  # the cursor is back
    silent = world(err_tty=True)
    assert silent.run("convert", "-q", str(source), str(tmp_path / "quiet")) == 0
    assert silent.err == ""

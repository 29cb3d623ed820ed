"""Names to cards, cards to folders, and folders that are not whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard, ThinkingStyle, VisionLimits
from qvq_mlx.core.errors import BrokenModelError, ModelNotOnDiskError, UnknownModelError
from qvq_mlx.store import registry
from tests.conftest import ROOT
from tests.support.spelling import hint_of


def safetensors(*names: str) -> bytes:
    """A file of weights, one byte each."""
    header = {
        name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]}
        for at, name in enumerate(names)
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(len(names))


def make_snapshot(
    hub: Path, repo: str, *, weights: tuple[str, ...] = ("model.safetensors",)
) -> Path:
    """A snapshot in the layout of huggingface_hub's cache."""
    root = hub / f"models--{repo.replace('/', '--')}"
    folder = root / "snapshots" / "abc123"
    folder.mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("abc123")
    for name in ("config.json", "tokenizer.json"):
        (folder / name).write_text("{}")
    for name in weights:
        (folder / name).write_bytes(safetensors("a" if name == weights[0] else "b"))
    return folder


def test_every_shipped_card_is_well_formed() -> None:
    cards = registry.cards()
    assert {"qvq-72b-preview", "qvq-tiny", "qvq-tiny-draft"} <= {card.name for card in cards}
    names = [name for card in cards for name in (card.name, *card.aliases)]
    assert len(names) == len(set(names))
    for card in cards:
        assert bool(card.repo) != bool(card.folder)
        if card.thinking.style is ThinkingStyle.MARKER:
            assert card.thinking.closing.strip() in card.thinking.markers


@pytest.mark.parametrize("name", ["tiny", "qvq-tiny", "QVQ-Tiny"])
def test_names_and_aliases(name: str) -> None:
    assert registry.find(name).name == "qvq-tiny"


def test_a_repository_id_of_a_known_card() -> None:
    assert registry.find("mlx-community/QVQ-72B-Preview-4bit").name == "qvq-72b-preview"


def test_another_quantization_has_the_voice_of_its_model() -> None:
    card = registry.find("mlx-community/QVQ-72B-Preview-8bit")
    assert card.repo == "mlx-community/QVQ-72B-Preview-8bit"
    assert card.thinking.style is ThinkingStyle.MARKER
    assert registry.find("someone/something").thinking.style is ThinkingStyle.NONE


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match="nearest names are qvq-tiny, ") as caught:
        registry.find("qvq-tyni")
    assert hint_of(caught.value) == 'qvq ask -m qvq-tiny IMAGE "question"'


def test_a_snapshot_is_found_in_the_cache(tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path, "mlx-community/QVQ-72B-Preview-4bit")
    assert registry.folder_of(registry.find("qvq"), tmp_path) == folder


def test_a_model_that_is_not_on_disk_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotOnDiskError, match="38.5 GiB") as caught:
        registry.folder_of(registry.find("qvq"), tmp_path)
    assert hint_of(caught.value) == "qvq pull mlx-community/QVQ-72B-Preview-4bit"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_snapshot_without_a_file_names_it(tmp_path: Path, name: str) -> None:
    (make_snapshot(tmp_path, "mlx-community/QVQ-72B-Preview-4bit") / name).unlink()
    with pytest.raises(BrokenModelError, match=name):
        registry.folder_of(registry.find("qvq"), tmp_path)


def test_a_shard_that_the_index_names_must_be_there(tmp_path: Path) -> None:
    weights = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    folder = make_snapshot(tmp_path, "mlx-community/QVQ-72B-Preview-4bit", weights=weights)
    index = {"weight_map": {"a": weights[0], "b": weights[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    registry.folder_of(registry.find("qvq"), tmp_path)
    (folder / weights[1]).unlink()
    (folder / weights[1]).symlink_to(tmp_path / "blob-that-never-came")
    with pytest.raises(BrokenModelError, match=weights[1]):
        registry.folder_of(registry.find("qvq"), tmp_path)


def test_a_folder_of_the_users(tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path, "x/QVQ-72B-Preview-6bit")
    card = registry.find(str(folder))
    assert card.name == "x/QVQ-72B-Preview-6bit"
    assert card.thinking.style is ThinkingStyle.MARKER
    assert registry.folder_of(card, tmp_path) == folder


def test_an_unknown_checkpoint_states_its_own_limits(tmp_path: Path) -> None:
    folder = make_snapshot(tmp_path, "someone/something")
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    card, found = registry.resolve(str(folder), tmp_path)
    assert found == folder
    assert (card.family, card.vision) == ("qwen2_vl", VisionLimits(video=True))
    stated: dict[str, object] = {"min_pixels": 12544, "max_pixels": 19600}
    stated |= {"patch_size": 14, "merge_size": 2}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    card, _ = registry.resolve("someone/something", tmp_path)
    assert card.vision == VisionLimits(28, 12544, 19600, own_max_pixels=19600, video=True)
    assert card.vision.own_max_tokens == 25
    stated["max_pixels"] = 12845056
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    card, _ = registry.resolve("someone/something", tmp_path)
    assert card.vision.max_pixels == VisionLimits().max_pixels
    assert card.vision.own_max_tokens == 16384
    del stated["max_pixels"]
    stated["size"] = {"shortest_edge": 3136, "longest_edge": 2000 * 28 * 28}
    (folder / "preprocessor_config.json").write_text(json.dumps(stated))
    card, _ = registry.resolve("someone/something", tmp_path)
    assert (card.vision.max_tokens, card.vision.own_max_tokens) == (1280, 2000)


@pytest.mark.parametrize("changed", [{"merge_size": 2**31}, {"patch_size": 2**20}])
def test_image_tokens_that_no_picture_fills_are_refused(
    tmp_path: Path, changed: dict[str, int]
) -> None:
    folder = make_snapshot(tmp_path, "someone/something")
    (folder / "config.json").write_text('{"model_type": "qwen2_vl"}')
    (folder / "preprocessor_config.json").write_text(json.dumps(changed))
    with pytest.raises(BrokenModelError, match="shows nothing"):
        registry.resolve(str(folder), tmp_path)


def test_a_shipped_card_says_more_than_the_checkpoint() -> None:
    card, _ = registry.resolve("tiny", Path("no hub"))
    stated = registry.find("tiny")
    vision = replace(stated.vision, own_max_pixels=19600)  # the checkpoint's own
    assert card == replace(stated, download_bytes=card.download_bytes, vision=vision)
    assert card.download_bytes == (ROOT / "models/qvq-tiny/model.safetensors").stat().st_size


def test_a_folder_without_config_is_one_clear_error(tmp_path: Path) -> None:
    card = registry.find(str(tmp_path))
    with pytest.raises(BrokenModelError, match="config.json and 2 more are missing") as caught:
        registry.folder_of(card, tmp_path)
    assert hint_of(caught.value) == f"ls -l {tmp_path}"


def test_a_card_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\ncolour = "red"\n')
    with pytest.raises(Exception, match="colour"):
        registry.read_card(path)
    path.write_text('name = "x"\nsummary = ""\nfamily = ""\nlicence = ""\n')
    assert registry.read_card(path) == ModelCard(name="x", summary="", family="", licence="")

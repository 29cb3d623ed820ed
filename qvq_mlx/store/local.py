"""Weights that are on this disk: where a snapshot lies, and whether it is whole.

The standard library alone: asking imports no network code. The layout of the cache is
huggingface_hub's: `models--org--name/refs/main` names a revision under `snapshots/`.
"""

from __future__ import annotations

import json
from pathlib import Path

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import BrokenModelError, ModelNotOnDiskError

_REQUIRED = ("config.json", "tokenizer.json")
_INDEX = "model.safetensors.index.json"


def snapshot(card: ModelCard, hub_cache: Path) -> Path:
    """The whole snapshot of `card.repo`. Raises ModelNotOnDiskError or BrokenModelError."""
    repo = hub_cache / f"models--{card.repo.replace('/', '--')}"
    reference = repo / "refs" / "main"
    folder: Path | None = None
    if reference.is_file():
        folder = repo / "snapshots" / reference.read_text(encoding="utf-8").strip()
    if folder is None or not folder.is_dir():
        raise ModelNotOnDiskError(
            f"{card.name} is not on this disk{_size(card)}; nothing lies in {repo}",
            f"hf download {card.repo}",
        )
    check(folder, card)
    return folder.resolve()


def check(folder: Path, card: ModelCard) -> None:
    """Raise BrokenModelError where a file that is needed is missing or empty."""
    missing = [name for name in (*_REQUIRED, *_weights(folder)) if not _whole(folder / name)]
    if not missing:
        return
    more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
    hint = f"hf download {card.repo}" if card.repo else f"ls -l {folder}"
    raise BrokenModelError(f"{missing[0]}{more} missing in {folder}", hint)


def weight_bytes(folder: Path) -> int:
    """The size of the weight files in `folder`; 0 where there are none."""
    files = (folder / name for name in _weights(folder))
    return sum(path.stat().st_size for path in files if path.is_file())


def _weights(folder: Path) -> tuple[str, ...]:
    """The weight files that the folder must hold."""
    index = folder / _INDEX
    if not index.is_file():
        found = tuple(path.name for path in folder.glob("*.safetensors"))
        return found or ("model.safetensors",)
    try:
        return tuple(
            sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (_INDEX + " (readable)",)


def _whole(path: Path) -> bool:
    """A file that exists (a link of the cache may dangle) and is not empty."""
    return path.is_file() and path.stat().st_size > 0


def _size(card: ModelCard) -> str:
    return f" ({card.download_bytes / 2**30:.1f} GiB to download)" if card.download_bytes else ""

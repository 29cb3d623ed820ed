"""What a name of a model means that names no model this program runs: said as what it is."""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.errors import ModelError, UnknownModelError, UnsupportedModelError
from qvq_mlx.core.remedies import Ask, Field, PullModel, Show
from qvq_mlx.store.checkpoint import read_json

_HUB = ("https://huggingface.co/", "http://huggingface.co/", "https://hf.co/", "huggingface.co/")
_ADAPTER = "adapter_config.json"


def error_for_name(name: str) -> ModelError | None:
    """The error for an address or a file; None for what may be a card, a folder or a repository."""
    for host in _HUB:
        if name.casefold().startswith(host):
            repo = "/".join(name[len(host) :].split("?")[0].split("#")[0].split("/")[:2])
            text = f"{name} is the address of a page; the model is called {repo}"
            return UnknownModelError(text, PullModel(repo))
    if "://" in name:
        return UnknownModelError(
            f"{name} is an address; a model is a card, a folder, or a repository ORG/NAME",
            Show.MODELS,
        )
    path = Path(name).expanduser()
    if path.suffix.casefold() == ".gguf":
        return UnsupportedModelError(
            f"{name} is a GGUF file, the format of llama.cpp; this version reads safetensors",
            Show.MODELS,
        )
    if path.is_file():
        return UnknownModelError(
            f"{name} is a file; a model is the folder that holds config.json beside its weights",
            Ask(settings=((Field.MODEL, str(path.parent)),)),
        )
    return None


def error_for_folder(folder: Path) -> ModelError | None:
    """The error for a folder without `config.json`; None where it is of no other kind either."""
    if (folder / _ADAPTER).is_file():
        stated = read_json(folder / _ADAPTER)
        base = stated.get("base_model_name_or_path") or stated.get("model")
        of = f" of {base}" if isinstance(base, str) and base else ""
        return UnsupportedModelError(
            f"{folder} is a LoRA adapter{of}, a change to a model and not a model; this version"
            " reads merged weights",
            Show.MODELS,
        )
    if any(folder.glob("*.gguf")):
        return UnsupportedModelError(
            f"{folder} holds GGUF files, the format of llama.cpp; this version reads safetensors",
            Show.MODELS,
        )
    return None

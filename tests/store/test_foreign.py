"""What is no model is named as what it is, with exit code 4 and in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from tests.conftest import ROOT, World

PICTURE = str(ROOT / "tests" / "data" / "tiny" / "count-1.png")
REPO = "mlx-community/QVQ-72B-Preview-5bit"


def lora(folder: Path) -> Path:
    folder.mkdir()
    stated = {"base_model_name_or_path": "Qwen/Qwen2-VL-7B-Instruct", "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(stated))
    (folder / "adapter_model.safetensors").write_bytes(b"x" * 64)
    return folder


def ggufs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model-q4_k_m.gguf").write_bytes(b"GGUF")
    return folder


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (f"https://huggingface.co/{REPO}", f"address of a page; the model is called {REPO}"),
        (f"https://huggingface.co/{REPO}/tree/main?x=1", f"the model is called {REPO}"),
        ("https://example.com/model.tar", "is an address"),
        ("model-q4.gguf", "GGUF file, the format of llama.cpp"),
        ("nowhere/model.GGUF", "GGUF file, the format of llama.cpp"),
        ("FILE", "is a file; a model is the folder"),
        ("LORA", "a LoRA adapter of Qwen/Qwen2-VL-7B-Instruct"),
        ("GGUFS", "holds GGUF files"),
    ],
)
@pytest.mark.parametrize("command", ["ask", "show"])
def test_it_is_named_as_what_it_is(
    world: Callable[..., World], tmp_path: Path, name: str, what: str, command: str
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x")
    places = {
        "FILE": tmp_path / "model.safetensors",
        "LORA": lora(tmp_path / "lora"),
        "GGUFS": ggufs(tmp_path / "ggufs"),
    }
    model = str(places.get(name, name))
    there = world()
    argv = ["ask", "-m", model, PICTURE, "What?"] if command == "ask" else ["show", model]
    assert there.run(*argv) == ExitCode.NO_MODEL
    assert what in there.err
    assert "Traceback" not in there.err

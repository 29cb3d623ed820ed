"""What is no model is named as what it is, with exit code 4 and in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from tests.conftest import ROOT, World
from tests.support.hub.server import git_sha1

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


GLM = {"model_type": "glm4v_moe", "architectures": ["Glm4vMoeForConditionalGeneration"]}
NEAREST = "'glm4v_moe', which this version does not run; the nearest that it runs is"


@pytest.mark.parametrize("beside", [(), ("tokenizer.json",), ("pytorch_model.bin", "vocab.json")])
@pytest.mark.parametrize("command", ["ask", "show", "fit", "convert", "batch", "serve"])
def test_another_architecture_comes_before_whatever_else_is_wrong(
    world: Callable[..., World], tmp_path: Path, command: str, beside: tuple[str, ...]
) -> None:
    """Files that are missing, or of another form, would not help."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(GLM))
    for name in beside:
        (folder / name).write_bytes(b"x")
    items = tmp_path / "items.jsonl"
    items.write_text(json.dumps({"image": PICTURE, "question": "What?"}) + "\n")
    model, there = str(folder), world()
    argv = {
        "ask": ["ask", "-m", model, PICTURE, "What?"],
        "show": ["show", model],
        "fit": ["fit", model],
        "convert": ["convert", model, str(tmp_path / "out")],
        "batch": ["batch", "-m", model, str(items)],
        "serve": ["serve", "-m", model, "--port", "0"],
    }[command]
    assert there.run(*argv) == ExitCode.NO_MODEL
    first, hint = there.err.splitlines()
    assert first.startswith(f"error[model-unsupported]: {folder} is of the architecture {NEAREST}")
    assert hint == "  try: qvq pull qwen3-vl-30b-thinking"
    assert not (tmp_path / "out").exists()


def test_one_of_the_cache_is_refused_too_and_a_check_of_its_files_says_so(
    world: Callable[..., World], tmp_path: Path
) -> None:
    root = tmp_path / "models--org--model"
    commit = "a" * 40
    (root / "snapshots" / commit).mkdir(parents=True)
    (root / "blobs").mkdir()
    data = json.dumps(GLM).encode()
    blob = git_sha1(data)
    (root / "blobs" / blob).write_bytes(data)
    (root / "snapshots" / commit / "config.json").symlink_to(f"../../blobs/{blob}")
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text(commit)
    environ = {"HF_HUB_CACHE": str(tmp_path)}
    for argv in (["show"], ["fit"], ["ask", PICTURE, "What?", "-m"]):
        there = world(environ=environ)
        assert there.run(*argv, "org/model") == ExitCode.NO_MODEL
        said = f"error[model-unsupported]: org/model is of the architecture {NEAREST}"
        assert there.err.splitlines()[0].startswith(said)
    there = world(environ=environ)
    assert there.run("verify", "org/model") == ExitCode.OK  # every byte of it is right
    assert there.out.splitlines()[0].startswith("org/model: 1 file whole")
    assert NEAREST in there.out.splitlines()[1]

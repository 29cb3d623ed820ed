"""A tokenizer.json that would harm is refused in one line, before the native library sees it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.engine.vocabulary import Vocabulary
from tests.conftest import ROOT
from tests.support.waiting import CEILING_S

SHIPPED = ROOT / "models" / "qvq-tiny" / "tokenizer.json"
_OPEN = """
import sys
from pathlib import Path
from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.engine.vocabulary import Vocabulary
try:
    Vocabulary(Path(sys.argv[1])).encode("A question, and a long one. " * 50)
except BrokenModelError as error:
    print("refused:", error.message)
"""

Change = Callable[[dict[str, Any]], object]
CHANGES: dict[str, Change] = {
    "a huge id": lambda file: file["model"]["vocab"].update(t=500_000_000),
    "a huge added id": lambda file: file["added_tokens"][0].update(id=500_000_000),
    "an id below zero": lambda file: file["model"]["vocab"].update(t=-1),
    "an id that is no number": lambda file: file["model"]["vocab"].update(t="1"),
    "a merge of an unknown token": lambda file: file["model"]["merges"].append(["nosuch", "t"]),
    "a merge into an unknown token": lambda file: file["model"]["merges"].append(["t", "Q"]),
    "a merge of one": lambda file: file["model"]["merges"].append(["t"]),
    "a merge of numbers": lambda file: file["model"]["merges"].append([1, 2]),
    "no merges": lambda file: file["model"].pop("merges"),
    "no vocabulary": lambda file: file["model"].update(vocab={}),
    "another model": lambda file: file["model"].update(type="Unigram"),
    "a normalizer that replaces": lambda file: file.update(
        normalizer={"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 2**20}
    ),
    "one that prepends, in a sequence": lambda file: file.update(
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "x"}]}
    ),
    "a decoder that is not known": lambda file: file.update(decoder={"type": "Replace"}),
    "a token that is not written in bytes": lambda file: file["model"]["vocab"].update({"中": 5}),
    "a prefix": lambda file: file["model"].update(continuing_subword_prefix="##"),
    "an added token without text": lambda file: file["added_tokens"][0].pop("content"),
    "a regex that does not compile": lambda file: file["pre_tokenizer"]["pretokenizers"][0].update(
        pattern={"Regex": "(" * 9}
    ),
    "a long regex": lambda file: file["pre_tokenizer"]["pretokenizers"][0].update(
        pattern={"Regex": "a?" * 9_999}
    ),
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("change", CHANGES)
def test_it_is_refused_in_one_line(change: str, tmp_path: Path) -> None:
    file = json.loads(SHIPPED.read_text())
    CHANGES[change](file)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file))
    ended = opened(path)
    assert ended.returncode == 0, ended.stderr[-500:]
    assert ended.stdout.startswith("refused:")
    assert len(ended.stdout) < 500
    assert not ended.stderr


@pytest.mark.parametrize("spelled", ["lists", "text"])
def test_a_sound_one_is_read(spelled: str, tmp_path: Path) -> None:
    file = json.loads(SHIPPED.read_text())
    if spelled == "text":
        file["model"]["merges"] = [" ".join(pair) for pair in file["model"]["merges"]]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(file))
    assert opened(path).stdout == ""


@pytest.mark.parametrize(("rows", "fits"), [(1024, True), (1023, False), (7, False)])
def test_every_id_is_one_of_the_model(rows: int, fits: bool) -> None:
    """The largest id of the shipped one is 1,023."""
    if fits:
        Vocabulary(SHIPPED, rows)
        return
    with pytest.raises(BrokenModelError, match=f"and the model has {rows:,} ids"):
        Vocabulary(SHIPPED, rows)


def opened(path: Path) -> subprocess.CompletedProcess[str]:
    """Open it in a process of its own, with 2 GiB of memory."""
    return subprocess.run(
        [sys.executable, "-c", _OPEN, str(path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=CEILING_S,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2**31, 2**31)),
    )

"""Going on with a long batch: each file is read once, and the output a line at a time."""

from __future__ import annotations

import hashlib
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.batch.contents import Contents
from qvq_mlx.batch.ledger import open_ledger
from qvq_mlx.batch.record import BatchRecord, Status, line
from qvq_mlx.images.folders import FOLDER, LeftOut, pictures_in

RECORD = BatchRecord(2, "item", "k", None, ("a.png",), "How many?", "tiny", Status.ANSWERED, None)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_is_read_once_and_again_when_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    real = os.open

    def counting(path: str, *rest: int) -> int:
        opened.append(path)
        return real(path, *rest)

    monkeypatch.setattr(os, "open", counting)
    one, twin = tmp_path / "one.png", tmp_path / "twin.png"
    one.write_bytes(b"first")
    twin.hardlink_to(one)
    opened.clear()
    contents = Contents()
    for source in (str(one), one.as_uri(), str(twin), str(one)):
        assert contents.of(source) == sha256(b"first")
    assert len(opened) == 1
    facts = one.stat()
    one.write_bytes(b"other")  # as many bytes
    os.utime(one, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert contents.of(str(one)) == sha256(b"other")
    several = [tmp_path / f"{number}.png" for number in range(100)]
    for path in several:
        path.write_bytes(path.name.encode())
    for path in [*several, *several]:  # more than are remembered
        assert contents.of(str(path)) == sha256(path.name.encode())


@pytest.mark.parametrize("source", ["", "gone.png", "a\0b", "-", "https://a.test/b.png", "."])
def test_what_is_no_file_stands_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    contents = Contents()
    assert contents.of(source) == f"unread {source}"
    assert contents.of("pipe") == "unread pipe"  # and does not wait for a writer


def test_the_output_is_read_a_line_at_a_time(tmp_path: Path) -> None:
    out, most = tmp_path / "out.jsonl", 2**20
    with out.open("w") as file:
        for number in range(400):
            file.write(line(replace(RECORD, key=f"k{number}", thinking="a" * 50_000)))
    content = out.read_bytes()
    assert len(content) > 15 * most
    tracemalloc.start()
    try:
        ledger = open_ledger(out, lambda record: record["key"] == "never")
        assert sum(1 for _ in ledger.records()) == 400
        assert tracemalloc.get_traced_memory()[1] < most
        ledger.close()
        without = open_ledger(out, lambda record: record["key"] == "k3")
        without.write(replace(RECORD, key="second"), 2)
        without.write(replace(RECORD, key="first"), 1)
        without.arrange()
        assert tracemalloc.get_traced_memory()[1] < 4 * most  # a part to write, and its copy
        without.close()
    finally:
        tracemalloc.stop()
    kept = [text for text in content.splitlines(keepends=True) if b'"k3"' not in text]
    added = [line(replace(RECORD, key=key)).encode() for key in ("first", "second")]
    assert out.read_bytes() == b"".join([*kept, *added])


def test_copies_are_taken_in_turn(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    ended = [Status.ANSWERED, Status.ERROR, Status.NO_ANSWER]
    out.write_text("".join(line(replace(RECORD, status=status)) for status in ended))
    ledger = open_ledger(out, lambda _record: False)
    assert [ledger.take(["x", "k"]) for _ in range(4)] == [*ended, None]
    ledger.close()


def test_links_in_a_folder_are_followed(tmp_path: Path) -> None:
    """Also where their names are a picture's."""
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.png").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "c.PNG").symlink_to(tmp_path / "b.png")
    (tmp_path / "d.png").symlink_to("d.png")
    found = pictures_in([str(tmp_path)])
    assert found.sources == tuple(str(tmp_path / name) for name in ("b.png", "c.PNG", "d.png"))
    expected = [LeftOut(str(tmp_path / name), FOLDER) for name in ("a.png", "elsewhere")]
    assert list(found.left_out) == expected

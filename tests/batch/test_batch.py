"""`qvq batch`: items, records, going on, errors as records, one load."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import shutil
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qvq_mlx.batch.items import Item, from_lines, grouped
from qvq_mlx.batch.table import as_csv
from qvq_mlx.core.errors import InputError
from qvq_mlx.images.folders import pictures_in
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

Build = Callable[..., World]
WORDS = ["Let me see. ", "\n\n**Final Answer**\n\n", "\\boxed{3}"]


class Counting(ScriptedEngine):
    """Counts its loads."""

    loads = 0

    def load(self, checkpoint, setup, control):
        self.loads += 1
        return (yield from super().load(checkpoint, setup, control))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("shapes", "chart", "sum"):
        shutil.copy(EXAMPLES / f"{name}.png", folder)
    return folder


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(world: World, folder: Path, *more: str) -> int:
    return world.run("batch", "-m", "tiny", str(folder), "-Q", "How many?", *more)


def test_one_load_and_one_line_for_each(world: Build, pictures: Path, tmp_path: Path) -> None:
    engine = Counting(WORDS)
    there = world(engine=engine)
    out = tmp_path / "out.jsonl"
    assert run(there, pictures, "-Q", "What is it?", "-o", str(out)) == 0
    assert engine.loads == 1
    assert (there.out, there.err) == ("", "")
    found = records(out)
    asked = [(Path(record["paths"][0]).name, record["question"]) for record in found]
    assert asked == [
        (name, question)
        for name in ("chart.png", "shapes.png", "sum.png")
        for question in ("How many?", "What is it?")
    ]
    assert all(record["status"] == "answered" and record["boxed"] == "3" for record in found)
    assert len({record["key"] for record in found}) == 6
    assert found[0]["images"][0]["sha256"]
    assert not list(tmp_path.glob(".out*"))


def test_without_a_file_the_lines_go_to_stdout(world: Build, pictures: Path) -> None:
    there = world(WORDS)
    assert run(there, pictures) == 0
    assert [json.loads(line)["boxed"] for line in there.out.splitlines()] == ["3"] * 3


def test_every_record_satisfies_the_schema(world: Build, pictures: Path, tmp_path: Path) -> None:
    schema = json.loads((ROOT / "docs" / "schema" / "batch.schema.json").read_text())
    check = jsonschema.Draft202012Validator(schema).validate
    out = tmp_path / "out.jsonl"
    assert run(world(WORDS), pictures, str(tmp_path / "none.png"), "-o", str(out)) == 3
    assert run(world(["a ", "b ", "c"]), pictures, "-o", str(out), "--max-tokens", "2") == 3
    found = records(out)
    assert {record["status"] for record in found} == {"answered", "error", "no-answer"}
    for record in found:
        check(record)


def test_a_person_reads_answers(world: Build, pictures: Path) -> None:
    there = world(WORDS, tty=True, err_tty=True)
    assert run(there, pictures) == 0
    assert "chart.png: 3" in there.out
    assert "{" not in there.out


def test_what_is_done_is_not_asked_again(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(WORDS), pictures, "-o", str(out)) == 0
    before = out.read_bytes()
    engine = Counting(WORDS)
    (pictures / "chart.png").rename(pictures / "renamed.png")  # the content counts
    assert run(world(engine=engine), pictures, "-o", str(out)) == 0
    assert out.read_bytes() == before
    assert engine.loads == 0
    shutil.copy(EXAMPLES / "sum.png", pictures / "copy.png")  # two copies are two items
    assert run(world(engine=engine), pictures, "-o", str(out)) == 0
    assert len(records(out)) == 4
    assert run(world(engine=engine), pictures, "-o", str(out), "--temp", "0.5") == 0
    assert len(records(out)) == 8  # other settings, other text


def test_errors_are_records(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    (pictures / "chart.png").write_bytes(b"\x89PNG no more")
    there = world(WORDS)
    assert run(there, pictures, str(tmp_path / "missing.png"), "-o", str(out)) == 3
    assert "2 of 4 items have no answer: 2 could not be asked" in there.err
    found = {Path(record["paths"][0]).name: record for record in records(out)}
    assert found["missing.png"]["error"]["code"] == "image-not-found"
    assert found["missing.png"]["error"]["exit_code"] == 6
    assert found["chart.png"]["error"]["code"] == "image-unreadable"
    assert found["shapes.png"]["status"] == "answered"
    assert found["missing.png"]["answer"] is None


def test_errors_are_asked_again_when_wanted_or_changed(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    out, missing = tmp_path / "out.jsonl", tmp_path / "missing.png"
    assert run(world(WORDS), pictures, str(missing), "-o", str(out)) == 3
    engine = Counting(WORDS)
    assert run(world(engine=engine), pictures, str(missing), "-o", str(out)) == 3  # as it was
    assert engine.loads == 0
    assert len(records(out)) == 4
    mode = out.stat().st_mode
    assert run(world(engine=engine), pictures, str(missing), "-o", str(out), "--retry-errors") == 3
    assert len(records(out)) == 4
    assert out.stat().st_mode == mode
    shutil.copy(EXAMPLES / "sum.png", missing)  # it is there now: another content
    assert run(world(engine=engine), pictures, str(missing), "-o", str(out)) == 0
    assert [record["status"] for record in records(out)] == ["answered"] * 4


def test_no_whole_answer_is_a_record_too(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(["Hm, ", "well, ", "so"]), pictures, "-o", str(out), "--max-tokens", "2") == 3
    assert {(r["status"], r["stop_reason"]) for r in records(out)} == {("no-answer", "length")}
    assert records(out)[0]["answer"] is None


def test_a_bug_in_one_item_does_not_end_the_night(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    class Faulty(Counting):
        def prompt(self, question, pictures, system, rounds=(), **labels):
            if len(self.asked) == 1:
                self.asked.append(("", 0, None))
                raise RuntimeError("boom")
            return super().prompt(question, pictures, system, rounds, **labels)

    out = tmp_path / "out.jsonl"
    assert run(world(engine=Faulty(WORDS)), pictures, "-o", str(out)) == 3
    assert [record["status"] for record in records(out)] == ["answered", "error", "answered"]
    assert records(out)[1]["error"]["message"] == "RuntimeError: boom (this is a bug)"


def test_what_fails_every_item_ends_it(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    there = world(WORDS)
    assert there.run("batch", "-m", "nope", str(pictures), "-Q", "?", "-o", str(out)) == 4
    assert not out.exists()
    assert run(world(WORDS), pictures, "-o", str(out), "--draft", "nope") == 4
    assert run(world(WORDS), pictures, "-o", str(out), "--vote", "2", "--draft", "lookup") == 2
    assert not out.exists()


def test_a_crop_that_one_picture_lacks_is_its_own_error(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (20, 20)).save(pictures / "a.png")  # the first
    out = tmp_path / "out.jsonl"
    assert run(world(WORDS), pictures, "-o", str(out), "--crop", "0,0,100,100") == 3
    assert [record["status"] for record in records(out)] == ["error", *["answered"] * 3]
    assert "--crop reaches to 100,100" in records(out)[0]["error"]["message"]


def test_half_a_line_is_cut_off(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(WORDS), pictures, "-o", str(out)) == 0
    whole = out.read_bytes()
    last = whole.rstrip(b"\n").rfind(b"\n") + 1
    for cut in (last + 1, last + 11, last + 200, len(whole) - 1):
        out.write_bytes(whole[:cut])
        assert run(world(WORDS), pictures, "-o", str(out)) == 0
        keys = [record["key"] for record in records(out)]
        assert len(keys) == len(set(keys)) == 3


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (b"\r\n\n", b""),
        (b"", b"\0" * 4096),
        (b"", b"\xff\xfe\x00garbage"),
        (b"", b"\0\0\n\0\0"),
        (b"", b"\x80\x81\n"),
        (b"\n", b""),
        (b"\n \n", b'{"version": 2, "type": "it'),
    ],
)
def test_what_a_crash_left_around_the_records_is_no_record(
    world: Build, pictures: Path, tmp_path: Path, before: bytes, behind: bytes
) -> None:
    out = tmp_path / "out.jsonl"
    assert run(world(WORDS), pictures, "-o", str(out)) == 0
    whole = out.read_bytes()
    out.write_bytes(before + whole + behind)
    engine = Counting(WORDS)
    there = world(engine=engine)
    assert run(there, pictures, "-o", str(out)) == 0, there.err
    assert engine.loads == 0
    assert out.read_bytes() == whole


@pytest.mark.parametrize("content", [b"my notes", b"my notes\n", b'{"a": 1}\n', b'["item"]\n{"ver'])
def test_a_file_of_another_kind_is_left_alone(
    world: Build, pictures: Path, tmp_path: Path, content: bytes
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(content)
    there = world(WORDS)
    assert run(there, pictures, "-o", str(out)) == 2
    assert out.read_bytes() == content
    assert "is no record of qvq batch" in there.err


def test_what_cannot_be_read_again_is_refused(world: Build, pictures: Path) -> None:
    there = world(WORDS)
    assert run(there, pictures, "-o", "/dev/null") == 2
    assert "-o /dev/null is no file" in there.err
    assert run(world(WORDS), pictures, "-o", str(pictures)) == 2
    assert run(world(WORDS), pictures, "-o", str(pictures / "none" / "out.jsonl")) == 2


def test_two_at_once_are_refused(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with out.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        there = world(WORDS)
        assert run(there, pictures, "-o", str(out)) == 75
    assert "error[busy]" in there.err


def test_ctrl_c_loses_the_item_in_flight_only(world: Build, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"

    def stop(index, control):
        if len(engine.generations) == 2:
            control._above._above.stop()  # as Ctrl-C does, at the user's own control

    engine = Counting(WORDS, on_token=stop)
    there = world(engine=engine)
    assert run(there, pictures, "-o", str(out)) == 130
    assert "stopped; 1 of 3 items are done" in there.err
    assert len(records(out)) == 1
    assert run(world(WORDS), pictures, "-o", str(out)) == 0
    assert len(records(out)) == 3


def test_items_from_a_file(world: Build, pictures: Path, tmp_path: Path) -> None:
    lines = [
        {"image": "shapes.png", "question": "How many?", "id": "a"},
        {"image": ["sum.png", "chart.png"], "question": "Same?", "id": 2},
        {"image": "shapes.png", "question": "Which?"},
        {"question": "None?"},
    ]
    listed = pictures / "items.jsonl"
    listed.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    out = tmp_path / "out.jsonl"
    engine = Counting(WORDS)
    there = world(engine=engine)
    assert there.run("batch", "-m", "tiny", "--items", str(listed), "-o", str(out)) == 3
    found = records(out)
    assert [record["id"] for record in found] == ["a", None, 2, None]  # one picture's together
    assert [len(record["images"]) for record in found] == [1, 1, 2, 0]
    assert found[3]["error"]["code"] == "usage"
    assert [asked[1] for asked in engine.asked] == [1, 1, 2]


def test_items_from_stdin(world: Build, tmp_path: Path) -> None:
    line = json.dumps({"image": str(EXAMPLES / "sum.png")}).encode()
    there = world(WORDS, stdin=line)
    assert there.run("batch", "-m", "tiny", "--items", "-", "-Q", "How many?") == 0
    assert json.loads(there.out)["question"] == "How many?"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is no JSON"),
        ("[1]", "is no JSON object"),
        ('{"image": 3, "question": "?"}', '"image" is no path'),
        ('{"image": [""], "question": "?"}', '"image" is no path'),
        ('{"image": "a.png", "question": ""}', '"question" is no text'),
        ('{"image": "a.png"}', 'has no "question"'),
        ('{"image": "a.png", "question": "?", "id": true}', '"id" is no text'),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_bad_lines_are_named(line: str, message: str) -> None:
    with pytest.raises(InputError, match="items.jsonl:2: .*") as error:
        from_lines("items.jsonl", "\n" + line, Path(), [])
    assert message in error.value.message


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("?!"))))
def test_grouping_moves_nothing_but_the_pictures(pairs: list[tuple[str, str]]) -> None:
    items = [Item((image,), question) for image, question in pairs]
    found = grouped(items)
    assert sorted(map(str, found)) == sorted(map(str, items))
    runs = [images for images, _ in groupby(item.images for item in found)]
    assert len(runs) == len(set(runs))
    for image in "abc":
        same = [item for item in items if item.images == (image,)]
        assert [item for item in found if item.images == (image,)] == same


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.png"], "no question is given"),
        (["-Q", "How many?"], "no image is given"),
        (["a.png", "-Q", " "], "the question is empty"),
        (["a.png", "-Q", "?", "--csv", "t.csv"], "--csv needs the file of -o"),
        (["a.png", "-Q", "?", "--retry-errors"], "--retry-errors needs the file of -o"),
        (["a.png", "-Q", "?", "-q", "-v"], "-q and -v exclude each other"),
    ],
)
def test_usage(world: Build, arguments: list[str], message: str) -> None:
    there = world(WORDS)
    assert there.run("batch", "-m", "tiny", *arguments) == 2
    assert message in there.err


def test_a_folder_gives_pictures_by_content(world: Build, pictures: Path) -> None:
    for number in (10, 9):
        shutil.copy(EXAMPLES / "sum.png", pictures / f"img{number}")
    (pictures / "notes").write_text("no picture")
    (pictures / ".hidden.png").write_bytes((EXAMPLES / "sum.png").read_bytes())
    there = world(WORDS)
    assert run(there, pictures) == 0
    names = [Path(json.loads(line)["paths"][0]).name for line in there.out.splitlines()]
    assert names == ["chart.png", "img9", "img10", "shapes.png", "sum.png"]
    empty = pictures / "empty"
    empty.mkdir()
    assert run(world(WORDS), empty) == 6


def test_a_folder_says_what_it_leaves_out(world: Build, pictures: Path) -> None:
    (pictures / "broken.png").write_bytes(b"")
    for name in ("a.txt", "b.TXT", "clip.mov", "noting"):
        (pictures / name).write_bytes(b"\0\0\0\x18ftypqt  " if name == "clip.mov" else b"words")
    (pictures / "sub").mkdir()
    (pictures / ".DS_Store").write_bytes(b"x")
    there = world(WORDS)
    assert run(there, pictures, "--json") == 3
    *lines, end = map(json.loads, there.out.splitlines())
    assert [line["status"] for line in lines] == ["error", "answered", "answered", "answered"]
    assert "left out, not asked about: 2 .txt, 1 video, 1 other, 1 folder\n" in there.err
    kinds = {Path(one["path"]).name: one["kind"] for one in end["left_out"]}
    assert kinds == {
        "a.txt": ".txt",
        "b.TXT": ".txt",
        "clip.mov": "video",
        "noting": "other",
        "sub": "folder",
    }
    assert (end["type"], end["total"], end["answered"], end["errors"]) == ("batch", 4, 3, 1)


def test_videos_of_a_folder_are_taken_where_the_model_takes_them(pictures: Path) -> None:
    (pictures / "clip.mov").write_bytes(b"\0\0\0\x18ftypqt  ")
    found = pictures_in([str(pictures)], videos=True)
    assert "clip.mov" in {Path(source).name for source in found.sources}
    assert not found.left_out


def test_a_name_that_is_no_path_is_an_error_record(world: Build) -> None:
    there = world(WORDS)
    assert run(there, "x" * 5000 + ".png") == 3  # type: ignore[arg-type]
    assert json.loads(there.out)["error"]["exit_code"] == 6


@pytest.mark.parametrize("name", ["clip", "screen", "-", "data:image", "~root", "file:x"])
@pytest.mark.parametrize("given", [".", "*"])
def test_what_a_folder_or_pattern_holds_is_a_file(
    world: Build, name: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes((EXAMPLES / "sum.png").read_bytes())
    there = world(WORDS)
    assert run(there, Path(given)) == 0, there.err
    assert [json.loads(line)["paths"] for line in there.out.splitlines()] == [[f"./{name}"]]


def test_the_table(world: Build, pictures: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out.jsonl", tmp_path / "out.csv"
    words = ["Hm. ", "\n\n**Final Answer**\n\n", '=1+1,\n"two"']
    assert run(world(words), pictures, "-o", str(out), "--csv", str(table)) == 0
    rows = list(csv.DictReader(io.StringIO(table.read_text(), newline="")))
    assert [Path(row["image"]).name for row in rows] == ["chart.png", "shapes.png", "sum.png"]
    assert rows[0]["answer"] == '\'=1+1,\n"two"'
    assert rows[0]["status"] == "answered"
    assert float(rows[0]["seconds"]) >= 0
    assert as_csv([]).count("\n") == 1


def test_a_table_that_cannot_be_written_is_said_first(
    world: Build, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    there = world(WORDS)
    assert run(there, pictures, "-o", str(out), "--csv", str(tmp_path / "no" / "t.csv")) == 2
    assert "error[output]: --csv " in there.err
    assert not out.exists()
    out.write_text("my notes\n")
    assert run(world(WORDS), pictures, "-o", str(out), "--csv", str(tmp_path / "t.csv")) == 2
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"out.jsonl"}

"""`qvq last` and `qvq log` as their user runs them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qvq_mlx import history
from qvq_mlx.cli import main as cli_main
from qvq_mlx.cli.quick import quick
from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    AnswerSource,
    Done,
    Event,
    Notice,
    Stats,
    StopReason,
    ThinkingDelta,
    fold,
)
from qvq_mlx.core.image_options import Crop, Detail, ImageOptions, Pages
from qvq_mlx.core.request import Budget, Sampling, SamplingOverrides
from qvq_mlx.core.rounds import Source
from qvq_mlx.history import erasing, searching
from qvq_mlx.history.files import names_in, short_ids
from qvq_mlx.records.runs import VERSION, Given, RequestRecord
from qvq_mlx.records.typed import typed
from qvq_mlx.run.world import open_world
from tests.conftest import EXAMPLES, ScriptedEngine, World

Build = Callable[..., World]
WORDS = ["I ", "see.\n\n", "**Final ", "Answer**\n\n", "It is ", "\\boxed{2}"]
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SLOW = settings(  # a folder may serve several examples; and a machine may be busy
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
DONE = Done(
    StopReason.END,
    AnswerSource.MARKER,
    True,
    False,
    Stats(thinking_tokens=3, answer_tokens=1, first_token_s=2.0, thinking_s=42.0, decode_s=43.0),
)


def save(
    folder: Path,
    question: str = "How many?",
    thinking: str = "I see two.",
    answer: str = "2",
    *,
    age: timedelta = timedelta(),
    end: Done | None = DONE,
    model: str = "qvq-tiny",
) -> history.File:
    request = RequestRecord(VERSION, "request", question, model, (), None, 512, Sampling())
    events: list[Event] = [ThinkingDelta(thinking, 3), AnswerDelta(answer, 1)]
    before = set(history.files(folder))
    list(history.record(events + ([end] if end else []), request, folder, NOW - age))
    (file,) = set(history.files(folder)) - before
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the worlds of these tests keep their runs."""
    return tmp_path / "qvq" / "history"


def asked(world: Build, *argv: str, words: list[str] | None = None) -> World:
    w = world(words or WORDS)
    assert w.run("ask", "-m", "tiny", *argv) == 0
    return w


# --- what is recorded, and read again ---


def test_a_run_records_all_that_it_takes_to_ask_again(
    world: Build, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(EXAMPLES)
    asked(world, "sum.png", "How many?", "--budget", "7", "--seed", "5", "--answer-tokens", "9")
    request = history.last(folder).request
    assert request.images[0].path == "sum.png"
    assert request.sources[0].path == str(EXAMPLES / "sum.png")
    data = (EXAMPLES / "sum.png").read_bytes()
    assert request.images[0].sha256 == hashlib.sha256(data).hexdigest()
    assert request.given == Given(sampling=SamplingOverrides(seed=5), budget=Budget(7))
    assert (request.budget_tokens, request.answer_tokens) == (7, 9)
    assert (request.lang, request.schema, request.draft) == ("auto", None, "auto")


def test_no_save_leaves_nothing(world: Build, folder: Path) -> None:
    w = asked(world, str(EXAMPLES / "sum.png"), "How many?", "--no-save")
    assert w.out == "It is \\boxed{2}\n"
    assert not folder.exists()


def test_an_image_from_stdin_has_no_place(world: Build, folder: Path) -> None:
    w = world(WORDS, stdin=(EXAMPLES / "sum.png").read_bytes())
    assert w.run("ask", "-m", "tiny", "-", "How many?") == 0
    assert history.last(folder).request.sources[0].path is None


def test_a_file_of_an_earlier_version_loads_with_defaults(folder: Path) -> None:
    folder.mkdir(parents=True)
    head = {
        "version": 1,
        "type": "request",
        "question": "old?",
        "model": "tiny",
        "images": [
            {"path": "a.png", "sha256": "0" * 64, "tokens": 1}
            | dict.fromkeys(("source_width_px", "source_height_px", "width_px", "height_px"), 9)
        ],
        "system": None,
        "max_tokens": 512,
        "sampling": {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "seed": 0},
        "time": "2026-01-02T03:04:05+01:00",
        "unheard_of": 1,
    }
    path = folder / "20260102-030405-000000-35b4.jsonl"
    path.write_text(json.dumps(head) + '\n{"type": "answer", "text": "2", "tokens": 1}\n')
    run = history.last(folder)
    assert run.id == "35b4"
    assert run.request.sources == ()
    assert run.request.given is None
    assert run.request.images[0].page is None
    assert run.ending is history.Ending.KILLED
    assert run.time is not None
    assert run.time.isoformat() == head["time"]


def test_a_file_of_a_newer_version_is_refused(folder: Path) -> None:
    path = save(folder).path
    path.write_text(path.read_text().replace('{"version": 2', '{"version": 3', 1))
    with pytest.raises(history.reading.InputError, match="newer qvq"):
        history.load(path)


looks = st.builds(
    ImageOptions,
    st.sampled_from(Detail) | st.integers(1, 9999),
    st.none() | st.builds(Crop, *[st.floats(0, 99)] * 4, st.booleans()),
    st.builds(
        Pages,
        st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(1, 9)), max_size=3).map(
            tuple
        ),
    ),
)
requests = st.builds(
    RequestRecord,
    st.just(1),
    st.just("request"),
    st.text(),
    st.text(),
    st.just(()),
    st.none() | st.text(),
    st.integers(1),
    st.builds(Sampling),
    budget_tokens=st.none() | st.integers(0),
    schema=st.none() | st.text(),
    sources=st.lists(
        st.builds(Source, st.text(), looks, st.text(), st.integers(0), st.none() | st.text()),
        max_size=3,
    ).map(tuple),
    given=st.none()
    | st.builds(
        Given,
        sampling=st.builds(SamplingOverrides, st.none() | st.floats(0, 2)),
        budget=st.none() | st.builds(Budget, st.none() | st.integers(0)),
    ),
)


@SLOW
@given(requests)
def test_requests_round_trip_through_json(request: RequestRecord) -> None:
    assert typed(RequestRecord, json.loads(json.dumps(asdict(request)))) == request


@pytest.mark.parametrize(
    "change", [{"votes": "3"}, {"question": None}, {"rounds": [{"question": 3}]}]
)
def test_a_value_of_the_wrong_kind_is_a_value_error(change: dict[str, object]) -> None:
    head = asdict(RequestRecord(VERSION, "request", "q", "m", (), None, 1, Sampling()))
    with pytest.raises(ValueError, match=next(iter(change))):
        typed(RequestRecord, head | change)


def test_a_run_that_settles_after_it_was_listed_is_read(folder: Path) -> None:
    whole = save(folder).path
    assert history.load(whole.with_suffix(".part")).path == whole


def test_a_run_that_an_error_ended_says_which(folder: Path) -> None:
    def events() -> object:
        yield ThinkingDelta("so", 1)
        raise MemoryError("no room")

    request = RequestRecord(VERSION, "request", "q", "m", (), None, 1, Sampling())
    with pytest.raises(MemoryError):
        list(history.record(events(), request, folder, NOW))  # type: ignore[arg-type]
    run = history.last(folder)
    assert run.ending is history.Ending.FAILED
    assert run.notices == (Notice("ended", "MemoryError: no room"),)
    assert run.path.suffix == ".jsonl"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SystemExit(143), "SIGTERM"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (SystemExit(1), None),
    ],
)
def test_a_run_that_was_stopped_says_what_stopped_it(
    folder: Path, error: BaseException, said: str | None
) -> None:
    request = RequestRecord(VERSION, "request", "q", "m", (), None, 1, Sampling())
    steps = history.record([ThinkingDelta("so", 1), DONE], request, folder, NOW)
    next(steps)
    with pytest.raises(type(error)):
        steps.throw(error)  # type: ignore[attr-defined]
    run = history.last(folder)
    assert run.ending is history.Ending.INTERRUPT
    assert run.done is not None
    assert run.done.stats.generated_tokens == 1
    assert run.notices == (Notice("ended", said or "SystemExit: 1"),)


def test_who_stops_reading_because_of_a_signal_says_so_too(folder: Path) -> None:
    request = RequestRecord(VERSION, "request", "q", "m", (), None, 1, Sampling())
    steps = history.record([ThinkingDelta("so", 1), DONE], request, folder, NOW)
    next(steps)
    try:
        raise SystemExit(129)
    except SystemExit:
        steps.close()  # type: ignore[attr-defined]
    assert history.last(folder).notices == (Notice("ended", "SIGHUP"),)


def test_a_lone_surrogate_costs_nothing(folder: Path) -> None:
    save(folder, thinking="\ud800x")
    assert history.last(folder).transcript.thinking == "\ud800x"


# --- ids ---


def test_any_beginning_that_is_the_only_one_names_a_run(folder: Path) -> None:
    made = [save(folder, f"question {number}") for number in range(40)]
    short = short_ids(names_in(folder), history.files(folder))
    assert len(set(short.values())) == 40
    for file in made:
        assert history.find(folder, short[file.stem]).path == file.path
        assert history.find(folder, file.id.upper()).id == file.id
        assert history.find(folder, str(file.path)).id == file.id


@pytest.mark.parametrize("command", ["show", "rm", "path", "rerun", "export"])
def test_an_unknown_id_is_one_line_and_exit_6(world: Build, folder: Path, command: str) -> None:
    save(folder)
    w = world()
    assert w.run("log", command, "zzzz") == ExitCode.BAD_INPUT
    assert w.err.splitlines() == [
        "error[input]: no saved run has the id 'zzzz'",
        "  try: qvq log list",
    ]


def test_an_ambiguous_id_names_the_runs(world: Build, folder: Path) -> None:
    ids = sorted(save(folder).id for _ in range(40))  # of 16 first digits
    digit = next(a[0] for a, b in pairwise(ids) if a[0] == b[0])
    w = world()
    assert w.run("log", "show", digit) == ExitCode.BAD_INPUT
    assert f"saved runs begin with {digit!r}" in w.err
    assert sum(each in w.err for each in ids if each.startswith(digit)) >= 2


# --- list and search ---


def test_a_list_in_a_pipe_is_tab_separated_and_whole(world: Build, folder: Path) -> None:
    old = save(folder, "first\tquestion", age=timedelta(days=3))
    cut = Done(StopReason.LENGTH, AnswerSource.NONE, False, False, Stats(thinking_tokens=1200))
    new = save(folder, "second " * 20, end=cut)
    w = world()
    assert w.run("log", "list") == 0
    assert w.out.splitlines() == [
        "id\ttime\tmodel\timages\tquestion\tended\ttokens",
        f"{new.id}\t2026-11-21T12:00:00+00:00\tqvq-tiny\t\t{'second ' * 20}\tlength\t1200",
        f"{old.id}\t2026-11-18T12:00:00+00:00\tqvq-tiny\t\tfirst question\tanswer\t4",
    ]


def test_a_list_can_be_bounded(world: Build, folder: Path) -> None:
    save(folder, "a", age=timedelta(days=9), model="other")
    save(folder, "b", age=timedelta(days=2))
    save(folder, "c")
    for options, expected in (
        (("-n", "1"), "c"),
        (("--since", "3"), "cb"),
        (("--since", "49h"), "cb"),
        (("--model", "OTH"), "a"),
        (("-n", "0"), "cba"),
    ):
        w = world()
        assert w.run("log", "list", "--json", *options) == 0
        assert "".join(run["question"] for run in json.loads(w.out)["runs"]) == expected
    w = world()
    assert w.run("log", "list", "--since", "soon") == ExitCode.USAGE


def test_a_list_on_a_terminal_fits(world: Build, folder: Path) -> None:
    save(folder, "\x1b[2Jevil " * 30)
    for width in (20, 40, 80, 200):
        w = world(tty=True, size=(width, 24))
        assert w.run("log", "list") == 0
        head = re.compile(r"\x1b\[35m\x1b\[1m|\x1b\[0m")  # our own, around the head of the table
        out = head.sub("", w.out)
        assert "\x1b" not in out
        assert all(len(line) <= width for line in out.splitlines())


texts = st.text(
    st.sampled_from('aAsSiİßẞſKkﬁfFﬀöÖσΣς红色ǰǰ"\\\n 1') | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@SLOW
@given(texts, texts, texts, st.data())
@example("Größe", "", "x", None)
def test_a_search_finds_what_folding_finds(
    tmp_path: Path, question: str, thinking: str, answer: str, data: st.DataObject | None
) -> None:
    folder = tmp_path / os.urandom(4).hex()
    save(folder, question, thinking, answer.rstrip())
    if data is None:
        word = "GRÖSSE"
    else:
        whole = data.draw(st.sampled_from([question, thinking, answer.rstrip()]))
        start = data.draw(st.integers(0, len(whole)))
        word = whole[start : start + 5]
        word = data.draw(st.sampled_from([word, word.upper(), word.casefold(), word + "x"]))
    folded = word.casefold()
    expected = [
        place
        for place, text in (
            ("question", question),
            ("answer", answer.rstrip()),
            ("thinking", thinking),
        )
        if folded in text.casefold()
    ]
    found = list(searching.search(folder, names_in(folder), [word]))
    assert [list(hit.places) for hit in found] == ([expected] if expected and word.strip() else [])


def test_a_word_that_a_retraction_cuts_is_found(folder: Path) -> None:
    request = RequestRecord(VERSION, "request", "q", "m", (), None, 1, Sampling())
    events = [
        ThinkingDelta("pur", 1),
        Notice("n", "n"),
        ThinkingDelta("ple", 1),
        AnswerDelta("no", 1),
        AnswerRetracted("no"),
        AnswerDelta("2", 1),
        DONE,
    ]
    list(history.record(events, request, folder, NOW))
    (hit,) = searching.search(folder, names_in(folder), ["purple"])
    assert hit.places == ("thinking",)


def test_a_search_wants_every_word_and_says_where(world: Build, folder: Path) -> None:
    save(folder, "How many CIRCLES?", "two red ones", "2")
    save(folder, "How many stars?", "one red one", "1")
    w = world()
    assert w.run("log", "search", "red", "circles") == 0
    assert "question, thinking\tHow many CIRCLES?" in w.out
    assert len(w.out.splitlines()) == 2
    w = world()
    assert w.run("log", "search", "--json", "red") == 0
    assert len(json.loads(w.out)["found"]) == 2
    w = world()
    assert w.run("log", "search", "purple") == ExitCode.BAD_INPUT
    assert "no saved run holds 'purple'" in w.err


# --- show ---


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), "so \\boxed{2}\n"),
        (("--answer",), "so \\boxed{2}\n"),
        (("-x",), "2\n"),
        (("--thinking",), "I see two.\n"),
    ],
)
def test_show_and_last_print_what_was_asked_for(
    world: Build, folder: Path, options: tuple[str, ...], expected: str
) -> None:
    file = save(folder, answer="so \\boxed{2}")
    for command in (("last",), ("log", "show"), ("log", "show", file.id[:6])):
        w = world()
        assert w.run(*command, *options) == 0
        assert w.out == expected
        assert w.err == ""


def test_json_is_that_of_ask(world: Build, folder: Path) -> None:
    w = world(WORDS)
    assert w.run("ask", "-m", "tiny", str(EXAMPLES / "sum.png"), "How many?", "--json") == 0
    said = json.loads(w.out)
    w = world()
    assert w.run("last", "--json") == 0
    kept = json.loads(w.out)
    assert kept == said


def test_a_run_without_an_answer_is_exit_3(world: Build, folder: Path) -> None:
    cut = Done(StopReason.LENGTH, AnswerSource.NONE, False, False, Stats())
    file = save(folder, end=cut)
    for command in ("last", f"log show {file.id}"):
        w = world()
        assert w.run(*command.split()) == ExitCode.NO_ANSWER
        assert w.out == ""
        assert f"try: qvq {command} --thinking" in w.err


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
def test_a_replay_stands_as_the_run_stood(world: Build, folder: Path, columns: int) -> None:
    save(folder, answer="The answer:\n\n- one\n- **two**\n")
    w = world(tty=True, size=(columns, 24))
    assert w.run("last") == 0
    assert "Thought for 42 s" in w.out
    assert "• **two" not in w.out
    assert "two" in w.out
    assert "**" not in w.out.rpartition("Thought for")[2]


def test_play_needs_a_terminal(world: Build, folder: Path) -> None:
    save(folder)
    assert world().run("log", "show", "--play") == ExitCode.USAGE
    assert world(tty=True).run("log", "show", "--play") == ExitCode.USAGE  # no keyboard
    assert world(tty=True).run("log", "show", "--no-play") == 0


# --- the way past typer ---

ID = "the id of a run"
WORDS_OF_OPTIONS = (
    *("--json", "--jsonl", "--thinking", "--answer", "-x", "-n", "2", "0", "--model", "-m"),
    *("tiny", "--since", "3d", "soon", "-n1", "--help", "--nonsense", "-5"),
)
OPTIONS = st.lists(st.sampled_from(WORDS_OF_OPTIONS), max_size=4)


@settings(SLOW, max_examples=25)
@given(st.sampled_from([["last"], ["log", "list"], ["log", "show"], ["log", "show", ID]]), OPTIONS)
def test_what_is_read_without_typer_means_the_same(
    world: Build, tmp_path: Path, command: list[str], options: list[str]
) -> None:
    folder = tmp_path / "qvq" / "history"
    if not folder.exists():
        save(folder, "old", age=timedelta(days=9))
        save(folder, "new")
    command = [history.files(folder)[0].id if word == ID else word for word in command]
    fast, slow = world(), world()
    code = fast.run(*command, *options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qvq_mlx.cli.quick.quick", lambda *_: None)
        assert cli_main.main([*command, *options], slow.env) == code
    assert (fast.out, fast.err) == (slow.out, slow.err)


@pytest.mark.parametrize(
    "line", ["last", "last -x", "log list", "log list -n 5 --json", "log show ID", "log show ID -x"]
)
def test_the_common_ways_to_ask_are_quick(world: Build, folder: Path, line: str) -> None:
    words = line.replace("ID", save(folder).id).split()
    assert quick(words, open_world(world().env)) == 0


@pytest.mark.parametrize("words", [("list",), ("search", "zebra")])
def test_a_terminal_reads_the_folder_of_runs_once(
    world: Build, folder: Path, words: tuple[str, ...]
) -> None:
    """Short ids need the names of all runs, and of a hundred thousand that is most of the time."""
    file = save(folder, "about a zebra")
    read: list[object] = []
    real = os.listdir
    there = world(tty=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "listdir", lambda place=".": read.append(place) or real(place))
        assert there.run("log", *words) == 0
    assert file.id[:4] in there.out
    assert read.count(folder) == 1


# --- erase ---


def test_rm_erases_by_id(world: Build, folder: Path) -> None:
    first, second = save(folder, "a"), save(folder, "b")
    w = world()
    assert w.run("log", "rm", first.id, first.id[:7]) == 0
    assert w.out.startswith("erased 1 run, ")
    assert history.files(folder) == [second]


def test_prune_asks_says_and_keeps(world: Build, folder: Path) -> None:
    for days in range(6):
        save(folder, f"{days}", age=timedelta(days=days))
    w = world()
    assert w.run("log", "prune") == ExitCode.USAGE
    assert w.run("log", "prune", "--keep", "1", "--older-than", "1d") == ExitCode.USAGE
    assert w.run("log", "prune", "--older-than", "60h", "--dry-run") == 0
    assert w.out.startswith("would erase 3 runs, 20261116 to 20261118")
    assert w.run("log", "prune", "--older-than", "60h") == ExitCode.USAGE  # nobody to ask
    assert "try: qvq log prune --older-than 60h --yes" in w.err
    assert len(history.files(folder)) == 6
    assert w.run("log", "prune", "--older-than", "60h", "-y") == 0
    assert w.run("log", "prune", "--keep", "2", "--yes") == 0
    assert w.run("log", "prune", "--keep", "2", "--yes") == 0
    assert w.out.endswith("nothing to prune\n")
    left = [history.load(file.path).request.question for file in history.files(folder)]
    assert left == ["1", "0"]


def test_a_folder_called_like_a_run_stops_no_prune(world: Build, folder: Path) -> None:
    save(folder)
    stray = folder / "20200101-000000-000000-abcdef01.jsonl"
    stray.mkdir()
    w = world()
    assert w.run("log", "prune", "--keep", "0", "-y") == 0, w.err
    assert w.out.startswith("erased 1 run,")
    assert w.err == f"warning: {stray} is a folder and no run; it stays\n"
    assert [file.path for file in history.files(folder)] == [stray]


def test_a_picture_goes_with_the_last_run_that_names_it(folder: Path) -> None:
    named, orphan, young = "a" * 64, "b" * 64, "c" * 64
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    for name in (named, orphan, young, "no-hash"):
        (pictures / name).write_bytes(b"12345")
    for name in (named, orphan, "no-hash"):
        os.utime(pictures / name, (time.time() - 9999,) * 2)
    file = save(folder, f"about {named}")
    assert erasing.drop_pictures(folder).freed_bytes == 10
    assert {path.name for path in pictures.iterdir()} == {named, "no-hash"}
    erasing.erase([file])
    assert erasing.drop_pictures(folder).freed_bytes == 5
    assert erasing.drop_pictures(folder / "nowhere").freed_bytes == 0


@pytest.mark.parametrize(
    ("text", "hours"),
    [("30d", 720), ("12h", 12), ("2w", 336), ("7", 168), ("-1", None), ("d", None)],
)
def test_ages(text: str, hours: int | None) -> None:
    expected = None if hours is None else timedelta(hours=hours)
    assert erasing.parse_age(text) == expected


# --- export, path ---


def test_export_writes_a_result_per_line(world: Build, folder: Path, tmp_path: Path) -> None:
    ids = [save(folder, f"{number}", age=timedelta(days=9 - number)).id for number in range(3)]
    w = world()
    assert w.run("log", "export", "-o", str(tmp_path / "all.jsonl")) == 0
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == ids
    assert {line["answer"] for line in lines} == {"2"}
    assert w.out == ""
    assert w.run("log", "export", ids[1], "--md") == 0
    assert w.out.startswith("## 1\n\n2026-11-13 12:00 · qvq-tiny · id ")
    assert "<details><summary>Thinking, 3 tokens</summary>" in w.out


def test_a_killed_run_exports_as_interrupted(world: Build, folder: Path) -> None:
    path = save(folder).path
    path.write_text("\n".join(path.read_text().splitlines()[:2]) + '\n{"type": "answ')
    w = world()
    assert w.run("log", "export") == 0
    found = json.loads(w.out)
    assert (found["answer"], found["stop_reason"]) == (None, "interrupt")
    assert found["thinking"] == "I see two."
    assert found["notices"][0]["code"] == "killed"


def test_path_names_the_folder_and_the_file(world: Build, folder: Path) -> None:
    file = save(folder)
    w = world()
    assert w.run("log", "path") == 0
    assert w.run("log", "path", file.id[:5]) == 0
    assert w.out == f"{folder}\n{file.path}\n"


# --- rerun ---


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "sum.png"
    path.write_bytes((EXAMPLES / "sum.png").read_bytes())
    return path


def test_rerun_asks_the_same(world: Build, folder: Path, image: Path) -> None:
    asked(
        world, str(image), "How many?", "--seed", "4", "--max-tokens", "40", "--system", "be brief"
    )
    engine = ScriptedEngine(["**Final Answer**\n\n", "3"])
    w = world(engine=engine)
    assert w.run("log", "rerun") == 0
    assert w.out == "3\n"
    assert engine.asked == [("How many?", 1, "be brief")]
    assert engine.generations[0].sampling.seed == 4
    assert engine.generations[0].max_tokens == 40
    first, second = (history.load(file.path) for file in history.files(folder))
    assert second.request.given == first.request.given
    assert second.request.images == first.request.images


def test_rerun_gives_both_as_json(world: Build, image: Path) -> None:
    asked(world, str(image), "How many?")
    w = world(["**Final Answer**\n\n", "3"])
    assert w.run("log", "rerun", "--json") == 0
    both = json.loads(w.out)
    assert (both["earlier"]["answer"], both["again"]["answer"]) == ("It is \\boxed{2}", "3")


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_rerun_shows_both_side_by_side_where_there_is_room(
    world: Build, image: Path, columns: int
) -> None:
    asked(world, str(image), "How many?")
    w = world(["**Final Answer**\n\n", "Three, I think"], tty=True, size=(columns, 24))
    assert w.run("log", "rerun") == 0
    rows = w.out.splitlines()
    assert any("It is" in row and "Three" in row for row in rows) == (columns >= 100)
    assert any("It is" in row for row in rows)
    assert any("Three" in row for row in rows)


def test_a_changed_image_is_refused_unless_it_may_have(world: Build, image: Path) -> None:
    asked(world, str(image), "How many?")
    image.write_bytes((EXAMPLES / "shapes.png").read_bytes())
    w = world(WORDS)
    assert w.run("log", "rerun") == ExitCode.BAD_INPUT
    assert "has changed since it was asked about" in w.err
    assert "--changed" in w.err
    assert world(WORDS).run("log", "rerun", "--changed") == 0
    image.unlink()
    w = world(WORDS)
    assert w.run("log", "rerun", "--changed") == ExitCode.BAD_INPUT
    assert "no such file" in w.err


def test_a_piped_image_is_asked_about_again_where_it_was_kept(world: Build, folder: Path) -> None:
    data = (EXAMPLES / "sum.png").read_bytes()
    w = world(WORDS, stdin=data)
    assert w.run("ask", "-m", "tiny", "-", "How many?") == 0
    assert world(WORDS).run("log", "rerun") == 0
    (folder / "pictures" / hashlib.sha256(data).hexdigest()).unlink()
    w = world(WORDS)
    assert w.run("log", "rerun") == ExitCode.BAD_INPUT
    assert "cannot be read again" in w.err


def test_nothing_of_a_run_is_changed_by_reading(world: Build, folder: Path) -> None:
    path = save(folder).path
    path.with_suffix(".part").write_bytes(path.read_bytes()[:-30])
    path.unlink()
    part = path.with_suffix(".part")
    before = part.read_bytes()
    for argv in (
        ["last", "--thinking"],
        ["log", "list"],
        ["log", "search", "two"],
        ["log", "export"],
    ):
        assert world().run(*argv) == 0
    assert part.read_bytes() == before
    assert fold(history.load(part).events).thinking == "I see two."


def test_a_replay_spells_places_as_the_screen_did(world: Build, folder: Path) -> None:
    marked = "a <|object_ref_start|>dog<|object_ref_end|><|box_start|>(1,2),(3,4)<|box_end|>"
    engine = ["Hm.", "\n\n", "**Final Answer**", "\n\n", marked]
    assert world(engine).run("ask", "-m", "tiny", str(EXAMPLES / "sum.png"), "Where?") == 0
    for command in (("last",), ("log", "show", "--no-play")):
        w = world([], tty=True, err_tty=True)
        assert w.run(*command) == 0
        assert "dog (1,2)-(3,4)" in w.out
        assert "<|box_start|>" not in w.out

"""`ask -c`: what a follow-up inherits, what it is told, and when it is refused."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.rounds import Attachment, Round
from qvq_mlx.history import attachments
from qvq_mlx.store import registry
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World
from tests.support.styles import unstyled

SHAPES, CHART = str(EXAMPLES / "shapes.png"), str(EXAMPLES / "chart.png")
ANSWER = ("I look.", "\n\n**Final Answer**\n\n", "two")
QVQ = registry.find("tiny").system


class Asked:
    """Runs `qvq ask` again and again in one place, each a second later."""

    def __init__(self, world: Callable[..., World], folder: Path) -> None:
        self._world = world
        self._count = 0
        self.folder = folder / "qvq" / "history"
        self.engine = ScriptedEngine(ANSWER)

    def __call__(self, *argv: str, stdin: bytes = b"", code: int = ExitCode.OK) -> World:
        self._count += 1
        w = self._world(engine=self.engine, stdin=stdin, err_tty=True, size=(400, 24))
        later = w.env.now() + timedelta(seconds=self._count)
        w.env = replace(w.env, now=lambda: later)
        assert w.run("ask", *argv) == code, w.err
        return w

    def records(self) -> list[dict[str, object]]:
        paths = sorted(self.folder.glob("*.jsonl"))
        return [json.loads(path.read_text().splitlines()[0]) for path in paths]

    def ids(self) -> list[str]:
        return [path.stem.rpartition("-")[2] for path in sorted(self.folder.glob("*.jsonl"))]


@pytest.fixture
def ask(world: Callable[..., World], tmp_path: Path) -> Asked:
    """A place with a card for the embedded model that takes several rounds."""
    cards = tmp_path / "qvq" / "models"
    cards.mkdir(parents=True)
    text = (ROOT / "models" / "qvq-tiny.toml").read_text()
    text = text.replace("rounds = false", "rounds = true").replace('["tiny"]', "[]")
    (cards / "several.toml").write_text(text.replace('name = "qvq-tiny"', 'name = "several"'))
    return Asked(world, tmp_path)


def test_the_last_run_goes_on(ask: Asked) -> None:
    ask("-m", "several", SHAPES, "How many?")
    ask("-c", "And the left one?")
    ask("-c", CHART, "And here?")
    assert ask.engine.asked == [
        ("How many?", 1, QVQ),
        ("And the left one?", 1, QVQ),
        ("And here?", 2, QVQ),
    ]
    first = Round("How many?", "two", 1)
    assert ask.engine.rounds == [(), (first,), (first, Round("And the left one?", "two", 0))]
    one, two, three = ask.records()
    assert [run["follows"] for run in (one, two, three)] == [None, *ask.ids()[:2]]
    assert len({str(run["model"]) for run in (one, two, three)}) == 1


def test_another_run_by_its_id_or_its_beginning(ask: Asked) -> None:
    ask("-m", "several", SHAPES, "One?")
    ask("-m", "several", CHART, "Two?")
    first = ask.ids()[0]
    [stem] = [path.stem for path in ask.folder.glob(f"*{first}.jsonl")]
    for name in (first, first[:4], stem, stem[:15]):
        ask("-c", name, "And?")
    ask("-c", first, "-Q", "Really?")
    for record in ask.records()[2:]:
        assert record["follows"] == first
        assert record["images"][0]["path"] == SHAPES  # type: ignore[index]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (
            ("-c", "19990101-000000", "Why?"),
            ExitCode.BAD_INPUT,
            "no saved run has the id",
        ),
        (("-c",), ExitCode.USAGE, "no question is given"),
        (("-c", "one", "two"), ExitCode.USAGE, "two questions"),
        (("-c", "-m", "qwq-32b", "Why?"), ExitCode.NO_MODEL, "qwq-32b"),
    ],
)
def test_what_cannot_be_followed(ask: Asked, argv: tuple[str, ...], code: int, said: str) -> None:
    ask("-m", "several", SHAPES, "One?")
    assert said in ask(*argv, code=code).err


def test_nothing_to_follow(ask: Asked) -> None:
    assert "no run is saved" in ask("-c", "Why?", code=ExitCode.BAD_INPUT).err


def test_a_model_of_one_round_is_told_in_words_and_says_so(ask: Asked) -> None:
    ask("-m", "tiny", SHAPES, "How many?")
    assert "note[one-round]: qvq-tiny knows one round only" in ask("-c", "-v", "And?").err
    question, pictures, _ = ask.engine.asked[1]
    assert question.endswith("Question: How many?\nAnswer: two\n\nNow: And?")
    assert (pictures, ask.engine.rounds[1]) == (1, ())
    # the history holds what was asked, not how it was told
    assert ask.records()[1]["question"] == "And?"
    assert ask.records()[1]["rounds"] == [{"question": "How many?", "answer": "two", "pictures": 1}]


def test_the_oldest_are_left_out_with_a_notice(ask: Asked) -> None:
    long = "Why " * 600
    ask("-m", "tiny", SHAPES, "-Q", long)
    for _ in range(2):
        ask("-c", "-Q", long)
    notices = {n["code"]: n["text"] for n in json.loads(ask("-c", "--json", "And?").out)["notices"]}
    assert notices["rounds-left-out"].startswith("the oldest 1 of 3 earlier questions are left")
    assert notices["one-round"].endswith("told 2 earlier questions and answers in words")
    assert ask.engine.asked[-1][0].count("Question: ") == 2
    assert ask.engine.asked[-1][1] == 1


def test_system_and_model_are_inherited_unless_given(ask: Asked) -> None:
    ask("-m", "several", "--system", "Be brief.", SHAPES, "One?")
    ask("-c", "Two?")
    ask("-c", "-m", "tiny", "Three?")
    ask("-c", "--system", "", "Four?")
    ask("-c", "Five?")
    ask("-m", "several", SHAPES, "Six?")
    ask("-c", "-m", "tiny", "Seven?")
    systems = [system for _, _, system in ask.engine.asked]
    assert systems == ["Be brief."] * 3 + [None] * 2 + [QVQ] * 2
    assert [run["model"] for run in ask.records()][:3] == ["several", "several", "qvq-tiny"]


def test_a_folder_is_found_again(ask: Asked) -> None:
    folder = str(ROOT / "models" / "qvq-tiny")
    ask("-m", folder, SHAPES, "One?")
    ask("-c", "Two?")
    assert [run["model_argument"] for run in ask.records()] == [folder] * 2


def test_a_run_without_an_answer_hands_on_its_pictures(ask: Asked) -> None:
    ask.engine = ScriptedEngine(["only", "thinking"], on_token=lambda _i, c: c.stop())
    ask("-m", "several", SHAPES, "One?", code=ExitCode.INTERRUPTED)
    ask.engine = ScriptedEngine(ANSWER)
    ask("-c", "Two?")
    assert ask.engine.asked == [("Two?", 1, QVQ)]
    assert ask.engine.rounds == [()]


def test_a_file_that_changed_or_is_gone(ask: Asked, tmp_path: Path) -> None:
    path = tmp_path / "it is.png"
    path.write_bytes(Path(SHAPES).read_bytes())
    ask("-m", "several", str(path), "One?")
    path.write_bytes(Path(CHART).read_bytes())
    # a terminal gets it wrapped
    err = " ".join(unstyled(ask("-c", "Two?", code=ExitCode.BAD_INPUT).err).split())
    assert "error[image-changed]: " in err
    assert f"try: qvq ask '{path}' " in err
    path.unlink()
    assert "error[image-not-found]" in ask("-c", "Two?", code=ExitCode.BAD_INPUT).err


def test_a_piped_picture_is_kept_for_the_next_question(ask: Asked) -> None:
    data = Path(SHAPES).read_bytes()
    ask("-m", "several", "-", "One?", stdin=data)
    [kept] = attachments.folder_in(ask.folder).iterdir()
    assert kept.name == hashlib.sha256(data).hexdigest()
    assert kept.read_bytes() == data
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    ask("-c", "-", "Two?", stdin=Path(CHART).read_bytes())
    assert ask.engine.asked[1][:2] == ("Two?", 2)
    first, second = ask.records()[1]["images"]  # type: ignore[misc]
    assert (first["path"], second["path"]) == ("-", "-")
    assert first["sha256"] == kept.name != second["sha256"]
    kept.write_bytes(data[:-1])  # then it is as good as lost
    err = unstyled(ask("-c", "Three?", code=ExitCode.BAD_INPUT).err)
    assert "error[image-changed]: - cannot be read again" in err
    assert "were not kept" in err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_nothing_is_kept_of_a_run_that_is_not_saved(
    ask: Asked, world: Callable[..., World], how: str
) -> None:
    environ = {"QVQ_SAVE": "0"} if how == "variable" else {}
    w = world(engine=ask.engine, stdin=Path(SHAPES).read_bytes(), environ=environ)
    options = ["--no-save"] if how == "option" else []
    assert w.run("ask", "-m", "tiny", "-", "One?", *options) == ExitCode.OK
    assert not ask.folder.exists()


def test_what_cannot_be_kept_is_a_notice(ask: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "MAX_BYTES", 100)
    said = ask("-v", "-m", "several", "-", "One?", stdin=Path(SHAPES).read_bytes()).err
    assert "note[attachment]: a follow-up cannot see this picture again: 0 MiB" in said
    assert len(ask.ids()) == 1


def test_an_attachment_is_whole_or_not_there(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"data").hexdigest()
    folder = tmp_path / "new" / "pictures"
    attachments.keep(Attachment(digest, b"data"), folder)
    attachments.keep(Attachment(digest, b"data"), folder)
    assert [path.name for path in folder.iterdir()] == [digest]
    assert attachments.find(digest, folder) == b"data"
    for wrong in ("0" * 64, "../../etc/passwd", "", digest.upper()):
        assert attachments.find(wrong, folder) is None
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="."):
        attachments.keep(Attachment(digest, b"data"), tmp_path / "file")


def test_a_run_of_an_older_version_hands_on_its_images(ask: Asked) -> None:
    ask("-m", "several", SHAPES, "One?")
    [path] = ask.folder.glob("*.jsonl")
    head, *rest = path.read_text().splitlines()
    record = {
        name: value
        for name, value in json.loads(head).items()
        if name not in ("sources", "rounds", "follows", "model_argument")
    }
    path.write_text("\n".join([json.dumps(record), *rest]) + "\n")
    ask("-c", "Two?")
    assert ask.engine.asked[1] == ("Two?", 1, QVQ)


def test_the_real_model_does_not_read_the_picture_twice(
    world: Callable[..., World], ask: Asked
) -> None:
    """In a process of its own, as `ask` is: the prefix comes from the disk."""
    results = []
    for later, argv in enumerate(
        [("-m", "several", SHAPES, "How many red circles are there?"), ("-c", "And blue stars?")]
    ):
        w = world()
        now = w.env.now() + timedelta(seconds=later)
        w.env = replace(w.env, now=lambda now=now: now)
        assert w.run("ask", *argv, "--json", "--draft", "none") in (0, ExitCode.NO_ANSWER)
        results.append(json.loads(w.out)["stats"])
    first, second = results
    assert first["cached_tokens"] == 0
    assert second["cached_tokens"] > second["image_tokens"] == first["image_tokens"] > 0
    assert second["encode_s"] == 0
    assert second["prompt_tokens"] > first["prompt_tokens"]


def test_from_another_folder_the_same_file_is_found(
    ask: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "a.png").write_bytes(Path(SHAPES).read_bytes())
    monkeypatch.chdir(tmp_path / "here")
    ask("-m", "several", "a.png", "One?")
    ask("-c", "Two?")
    monkeypatch.chdir(tmp_path)
    ask("-c", "Three?")
    assert [pictures for _, pictures, _ in ask.engine.asked] == [1, 1, 1]
    names = [record["images"][0]["path"] for record in ask.records()]  # type: ignore[index]
    assert names == ["a.png"] * 3

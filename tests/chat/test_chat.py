"""A chat: what a line means, what the conversation brings along, and the program on a terminal."""

from __future__ import annotations

import itertools
import shlex
import stat
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from qvq_mlx import history as saved_runs
from qvq_mlx.chat.commands import USAGE, Command, Question, Verb, help_lines, parse
from qvq_mlx.chat.loop import Talk
from qvq_mlx.core.env import Engine
from qvq_mlx.core.errors import ExitCode, InputError, UsageError
from qvq_mlx.core.events import Progress
from qvq_mlx.core.image_options import Detail
from qvq_mlx.core.request import Output, Request
from qvq_mlx.core.rounds import Round
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, World

SHAPES, CHART = str(EXAMPLES / "shapes.png"), str(EXAMPLES / "chart.png")
ANSWER = ("I look.", "\n\n**Final Answer**\n\n", "two")


# what a line means


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", None),
        ("  \n ", None),
        ("How many?", Question("How many?")),
        ("one\ntwo /help", Question("one\ntwo /help")),
        ("/help", Command(Verb.HELP)),
        (" /quit ", Command(Verb.QUIT)),
        ("/image a.png", Command(Verb.IMAGE, ("a.png",))),
        ("/image 'a b.png' c\\ d.png", Command(Verb.IMAGE, ("a b.png", "c d.png"))),
        ("/image it's.png", Command(Verb.IMAGE, ("it's.png",))),
        ("/model", Command(Verb.MODEL)),
        ("/model tiny", Command(Verb.MODEL, ("tiny",))),
        ("/a/b.png", Command(Verb.IMAGE, ("/a/b.png",))),  # dragged into the window
        ("/a/b\\ c.png '/a/d.png'", Command(Verb.IMAGE, ("/a/b c.png", "/a/d.png"))),
        ("b.png and what is it?", Question("and what is it?", ("b.png",))),
        ("/etc/hosts says what?", Question("/etc/hosts says what?")),
        ("//", Question("//")),
    ],
)
def test_what_a_line_means(line: str, expected: object) -> None:
    assert parse(line, lambda word: word.endswith(".png")) == expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/imgae a.png", "there is no /imgae; did you mean /image"),
        ("/xyzzy", "there is no /xyzzy"),
        ("/image", "needs a name"),
        ("/save", "needs a name"),
        ("/retry now", "stands alone"),
        ("/model a b", "takes one word"),
    ],
)
def test_what_is_no_command_is_never_asked(line: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(line, lambda _word: False)


def test_the_help_names_every_command() -> None:
    assert set(USAGE) == set(Verb)
    for verb in Verb:
        assert any(line.startswith(f"/{verb}") for line in help_lines())


# the conversation, with a scripted engine


class Lines:
    """A person who types these lines, and then Ctrl-D."""

    def __init__(self, *lines: str | type[BaseException]) -> None:
        self._lines: Iterator[str | type[BaseException]] = iter(lines)

    def read(self) -> str:
        line = next(self._lines, EOFError)
        if isinstance(line, str):
            return line
        raise line


Chat = Callable[..., World]


@pytest.fixture
def chat(world: Callable[..., World], tmp_path: Path) -> Chat:
    """Hold a chat of these lines in a scripted world."""

    def hold(
        *lines: str | type[BaseException],
        engine: ScriptedEngine,
        model: str = "tiny",
        images: tuple[str, ...] = (),
        save: bool = True,
    ) -> World:
        w = world(engine=engine, tty=True, err_tty=True, size=(300, 24))
        seconds = itertools.count()
        start = w.env.now()
        w.env = replace(w.env, now=lambda: start + timedelta(seconds=next(seconds)))
        settings = replace(config.read(w.env), save=save)
        talk = Talk(w.env, settings, Request("", (), model), Output())
        talk.begin(list(images))
        assert talk.talk(Lines(*lines).read) == ExitCode.OK
        return w

    (tmp_path / "qvq" / "models").mkdir(parents=True)
    card = (ROOT / "models" / "qvq-tiny.toml").read_text()
    card = card.replace("rounds = false", "rounds = true").replace("qvq-tiny", "several", 1)
    (tmp_path / "qvq" / "models" / "several.toml").write_text(card.replace('["tiny"]', "[]"))
    return hold


def runs(folder: Path) -> list[saved_runs.Run]:
    return [saved_runs.load(path) for path in sorted((folder / "qvq" / "history").glob("*.jsonl"))]


def test_a_second_question_brings_the_first_along(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER)
    chat(
        "How many?",
        f"/image {shlex.quote(CHART)}",
        "And now?",
        engine=engine,
        model="several",
        images=(SHAPES,),
    )
    first, second = engine.asked
    assert (first[:2], second[:2]) == (("How many?", 1), ("And now?", 2))
    assert engine.rounds == [(), (Round("How many?", "two", 1),)]
    one, two = runs(tmp_path)
    assert (one.request.follows, two.request.follows) == (None, one.id)
    assert [source.name for source in two.request.sources] == [SHAPES, CHART]


def test_a_model_that_knows_one_round_is_told_in_words(chat: Chat) -> None:
    engine = ScriptedEngine(ANSWER)
    w = chat("How many?", "And now?", engine=engine, images=(SHAPES,))
    assert engine.rounds == [(), ()]
    assert engine.asked[1][0].endswith("Question: How many?\nAnswer: two\n\nNow: And now?")
    assert "note[one-round]" in w.out
    assert w.out.count("shapes.png 640") == 1  # the receipt of a picture comes once


def test_an_error_is_one_line_and_the_chat_goes_on(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    engine = ScriptedEngine(ANSWER)
    w = chat(
        "/image nowhere.png",
        "/model nobody",
        "/budget much",
        "/detail huge",
        "/thinking loud",
        f"/image {tmp_path / 'broken.png'}",
        "What is it?",
        KeyboardInterrupt,
        "How many?",
        engine=engine,
        model="several",
        images=(SHAPES,),
    )
    for said in ("image-not-found", "model-unknown", "usage", "image-unreadable"):
        assert f"error[{said}]: " in w.out
    assert w.out.count("error[") == 6
    assert [(question, pictures) for question, pictures, _ in engine.asked] == [
        ("What is it?", 1),
        ("How many?", 1),
    ]


def test_retry_draws_anew_and_takes_the_answers_place(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER)
    chat(
        "/retry", "One?", "/retry", "/retry", "/budget low", "/retry", "Two?",
        engine=engine, model="several", images=(SHAPES,),
    )  # fmt: skip
    sampled = [(g.sampling.temperature, g.sampling.seed) for g in engine.generations]
    assert sampled == [(0.0, 0), (0.7, 1), (0.7, 2), (0.0, 0), (0.0, 0)]
    assert engine.rounds == [(), (), (), (), (Round("One?", "two", 1),)]
    follows = [run.request.follows for run in runs(tmp_path)]
    assert follows[:4] == [None] * 4
    assert follows[4] == runs(tmp_path)[3].id


def test_what_has_no_answer_is_no_round_and_its_pictures_stay(chat: Chat) -> None:
    engine = ScriptedEngine(
        ANSWER, on_token=lambda _i, c: c.stop() if len(engine.asked) == 1 else 0
    )
    w = chat("One?", "Two?", engine=engine, model="several", images=(SHAPES,))
    assert "stopped after" in w.out
    assert engine.asked[1][:2] == ("Two?", 1)
    assert engine.rounds == [(), ()]


def test_what_is_set_holds_from_the_next_question_on(chat: Chat) -> None:
    engine = ScriptedEngine(ANSWER)
    w = chat(
        "One?", "/model several", "/budget 7", "/detail 20", "/thinking none", "/detail",
        "/model", "Two?", engine=engine, images=(SHAPES,),
    )  # fmt: skip
    for said in ("model: several", "budget: 7 tokens", "detail: 20", "thinking: none"):
        assert said in w.out
    assert engine.rounds[1] == (Round("One?", "two", 1),)
    assert w.out.count("Thought for") == 1  # the second is shown without


def test_clear_forgets(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER)
    chat(
        "One?",
        "/clear",
        f"/image {shlex.quote(CHART)}",
        "Two?",
        engine=engine,
        model="several",
        images=(SHAPES,),
    )
    assert engine.asked[1][:2] == ("Two?", 1)
    assert engine.rounds[1] == ()
    assert runs(tmp_path)[1].request.follows is None


def test_save_writes_markdown_and_replaces_nothing(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER)
    other = tmp_path / "other.md"
    other.write_text("mine")
    path = tmp_path / "talk.md"
    w = chat(
        f"/save {path}", "How\nmany?", f"/save {other}", f"/save {path}", "More?", f"/save {path}",
        engine=engine, model="several", images=(SHAPES,),
    )  # fmt: skip
    assert "nothing was answered yet" in w.out
    assert "is there already" in w.out
    assert other.read_text() == "mine"
    assert path.read_text() == (
        "## How many?\n\n> How\n> many?\n\n*shapes.png*\n\ntwo\n\n*several*\n\n"
        "## More?\n\ntwo\n\n*several*\n"
    )


def test_without_saving_nothing_is_kept(chat: Chat, tmp_path: Path) -> None:
    engine = ScriptedEngine(ANSWER)
    chat("One?", "Two?", engine=engine, model="several", images=(SHAPES,), save=False)
    assert engine.rounds[1] == (Round("One?", "two", 1),)
    assert not (tmp_path / "qvq" / "history").exists()


def test_a_file_that_changes_is_still_what_was_talked_about(chat: Chat, tmp_path: Path) -> None:
    shown = tmp_path / "shown.png"
    shown.write_bytes((EXAMPLES / "shapes.png").read_bytes())

    def change(_index: int, _control: object) -> None:
        shown.write_bytes((EXAMPLES / "chart.png").read_bytes())

    engine = ScriptedEngine(ANSWER, on_token=change)
    chat("One?", "Two?", engine=engine, model="several", images=(str(shown),))
    one, two = runs(tmp_path)
    assert one.request.images[0].sha256 == two.request.images[0].sha256


class Counting(ScriptedEngine):
    """Knows how often it was loaded."""

    loads = 0

    def load(self, *arguments: object) -> Generator[Progress, None, Engine | None]:
        self.loads += 1
        return (yield from super().load(*arguments))


def test_the_model_is_loaded_once(chat: Chat) -> None:
    engine = Counting(ANSWER)
    lines = ("One?", "Two?", "/retry", "/model tiny-draft", "3?", "4?", "/model tiny", "5?")
    chat(*lines, engine=engine, images=(SHAPES,))
    assert len(engine.asked) == 6
    assert engine.loads == 3


def test_an_image_at_the_start_that_is_none_is_an_error(chat: Chat) -> None:
    with pytest.raises(InputError):
        chat(engine=ScriptedEngine(ANSWER), images=("nowhere.png",))


def test_without_a_terminal_it_is_a_usage_error(world: Callable[..., World]) -> None:
    w = world(words=[])
    assert w.run("chat", "-m", "tiny") == ExitCode.USAGE
    assert "needs a terminal" in w.err
    assert "try: qvq ask IMAGE" in w.err


def test_what_is_typed_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    from prompt_toolkit.history import InMemoryHistory

    from qvq_mlx.chat.editor import _history
    from qvq_mlx.history.files import TYPED

    _history(tmp_path / "new").append_string("hello")
    assert stat.S_IMODE((tmp_path / "new" / TYPED).stat().st_mode) == 0o600
    assert "hello" in (tmp_path / "new" / TYPED).read_text()
    (tmp_path / "file").write_text("")
    assert isinstance(_history(tmp_path / "file"), InMemoryHistory)
    assert isinstance(_history(None), InMemoryHistory)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("/", {f"/{verb} " for verb in Verb}),
        ("/th", {"/thinking "}),
        ("/model qvq-t", {"qvq-tiny"}),
        ("/budget ", {"low", "medium", "high", "none"}),
        ("/detail m", {str(Detail.MAX)}),
        ("How /m", set()),
    ],
)
def test_completions(typed: str, offered: set[str]) -> None:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from qvq_mlx.chat.editor import ChatCompleter

    completer = ChatCompleter(lambda: ["qvq-tiny", "other"])
    found = completer.get_completions(Document(typed), CompleteEvent())
    assert {one.text for one in found} == offered


def test_paths_are_completed(tmp_path: Path) -> None:
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document

    from qvq_mlx.chat.editor import ChatCompleter

    (tmp_path / "cat.png").touch()
    completer = ChatCompleter(list)
    for line in (f"/image {tmp_path}/c", f"/image a.png {tmp_path}/c", f"/save {tmp_path}/c"):
        found = completer.get_completions(Document(line), CompleteEvent())
        assert [one.text for one in found] == ["at.png"]

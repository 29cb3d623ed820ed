r"""Every reader of a model's text: linear in its length, and nothing is raised.

Time is the process's own, so that a busy machine changes little.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from os import terminal_size
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import pytest

import qvq_mlx
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.card import Thinking
from qvq_mlx.core.env import Env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Event,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.image_options import Region
from qvq_mlx.core.places import Coordinates
from qvq_mlx.core.request import Output, OutputForm, ThinkingView
from qvq_mlx.core.tokens import Control, Finished, Step, Token
from qvq_mlx.engine import load
from qvq_mlx.engine.constraint import SchemaHold
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.guards.language import Script, leaves
from qvq_mlx.guards.loop import BlankRun, LoopDetector, Severity
from qvq_mlx.guards.saved import examine
from qvq_mlx.guards.supervise import GuardLimits, supervise
from qvq_mlx.history.writing import record
from qvq_mlx.pointing.in_text import found, readable
from qvq_mlx.pointing.lenient_json import outermost
from qvq_mlx.pointing.on_pictures import report
from qvq_mlx.records.runs import request_record
from qvq_mlx.render import formula, renderer
from qvq_mlx.render.answer import Answer
from qvq_mlx.render.clean import Cleaner, clean, clean_line
from qvq_mlx.render.flow import Flow
from qvq_mlx.render.markdown import (
    block_rows,
    blocks,
    code_blocks,
    kept_block,
    kept_rows,
    markdown_rows,
    only_box,
    parted,
)
from qvq_mlx.render.rows import wrap
from qvq_mlx.render.spoken_answer import spoken_rows
from qvq_mlx.render.thoughts import Thoughts
from qvq_mlx.render.unmarked import Spelling
from qvq_mlx.reply.box import boxed, through_box
from qvq_mlx.reply.calls import LONGEST_CALL_CHARS, CallScan, read
from qvq_mlx.reply.canonical import canonical
from qvq_mlx.reply.conclusion import concluding_paragraph
from qvq_mlx.reply.gate import Gate
from qvq_mlx.reply.markers import Markers
from qvq_mlx.reply.splitters import splitter
from qvq_mlx.reply.tool_calls import ToolScan, trailing_calls
from qvq_mlx.reply.tool_calls import read as read_call
from qvq_mlx.serve.asked import Asked
from qvq_mlx.serve.chat_completions import ChatCompletions
from qvq_mlx.serve.messages import Messages
from qvq_mlx.serve.reply import Reply
from qvq_mlx.serve.responses import Responses
from qvq_mlx.serve.wire import Interface
from qvq_mlx.store.styles import voice
from tests.conftest import ROOT, Stream
from tests.render.conftest import PLAN

PATTERNS = (
    r"\boxed{", r"\boxed ", r"\fbox{", r"\boxed{1}", "}", "{", r"\[", r"\(", "$$", "$x ",
    r"\text{", r"\text", r"\sqrt", r"\sqrt{", r"\frac", r"\frac1", "x^", "_{", r"\begin{cases}",
    "\\", "~", "\t", "a\t", " ", "\n", "\u4e2d", "\u0301", "e\u0301", "\U0001f469\u200d",
    "\U0001f1e9", "**a", "*", "# ", "`", "```\n", "> a\n", "- a\n", "|a|b|\n|-|-|\n", "[a](", "<a ",
    "**Final Answer**\n", "**Final Answer** 4", "</think>", '{"a":', "[1,", '"', '\\"', "(1,2),",
    "[a][", "![", "![a](", "~~a", "<http://a ", "&amp;", "- - - a\n", ">> a\n", "1. a\n",
    "<|box_start|>", "<points ", "picture 1 ", "1,000,", "word ", "\ud800", "\u202e",
    "[", "[[1,2],", "{", "{'a':", "(", "<think>", "</thi", "<thi", "◁/think", "<answer>", "[BEGIN ",
    "| ", "|\n", "|-", "```", "~~~\n", "```a\n```\n", "$", "$$x$$", r"\$", "\u200b", "\ufeff", "\r",
    "\x1b[1m", "5", "0", "[0,0,0,0],", "0, ", "1e9", "-", "1/", "(1,", "<tool_call>", "</tool_call",
    "<function=a><parameter=b>", "<box>", "<|point_start|>(1,2)", "<points x1='1' ", "&#1;", "__a",
    "a\n\n", "# a\n", "Answer: ", "Wait, ", r"\left(", r"\left", r"\overline{", r"\frac{1}{",
    r"\begin{array}{c}", r"1\\", "^", "_", "a_", r"\mathbf{", r"\,", "\u2029", "%", "#", "=\n",
    "a  \n", "<!--", "***", "![](a)", "\u05d0", "e\u0301\u200d", "\ufe0f", "ab\n" * 30 + "\n",
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """A picture that a model saw as it is."""

    path: str = "a.png"
    page: int | None = None
    source_width_px: int = 100
    source_height_px: int = 100
    width_px: int = 100
    height_px: int = 100
    crop: Region | None = None


def pieces(text: str, size: int = 3) -> Iterator[str]:
    return (text[at : at + size] for at in range(0, len(text), size))


def cut(reader: Callable[[str, int], object], size: int) -> Callable[[str], object]:
    return lambda text: reader(text, size)


def splits(name: str) -> Callable[[str, int], object]:
    def read(text: str, size: int) -> None:
        rules = splitter(_thinking(name))
        for piece in pieces(text, size):
            list(rules.feed(piece))
        list(rules.close(StopReason.END))

    return read


def gate(text: str, size: int) -> None:
    reader = Gate(_thinking("qvq"))
    for piece in pieces(text, size):
        reader.feed(piece)


def loop(text: str, size: int) -> None:
    detector, blank = LoopDetector(), BlankRun()
    for piece in pieces(text, size):
        blank.feed(piece)
        if any(one.severity is Severity.HARD for one in detector.feed(piece)):
            detector.restart()
    detector.close()


def flow(text: str, size: int) -> None:
    reader = Flow()
    for number, piece in enumerate(pieces(text, size)):
        reader.add(piece)
        if number % 16 == 0:
            reader.rows(80, 10, compact=True)


def thoughts(text: str, size: int) -> None:
    reader = Thoughts()
    for number, piece in enumerate(pieces(text, size)):
        reader.add(piece)
        if number % 16 == 0:
            reader.take(80, ended=False, rows=True)
    reader.take(80, ended=True, rows=True)


def spelled(text: str, size: int) -> None:
    reader = Spelling()
    for piece in pieces(text, size):
        reader.feed(piece)
    reader.close()


def formulas(text: str) -> None:
    """Formulas of the longest kind that is read, one after the other."""
    for piece in pieces(text, 4000):
        formula.readable.__wrapped__(piece)
        formula.readable.__wrapped__(piece, displayed=True)


def answer(text: str, size: int) -> None:
    """What a terminal shows of it, a frame for each 256 characters."""
    shown = Answer()
    for number, piece in enumerate(pieces(text, size)):
        shown.add(piece)
        if number % (256 // size) == 0 and len(shown.last_rows(80, 12)) == 12:
            shown.overflow(80, 12)
    shown.kept(80)


def shown(output: Output, *, tty: bool, term: str = "xterm") -> Callable[[str, int], object]:
    """A run on the screen or in a pipe, the text as its thinking and then as its answer.

    A millisecond passes between two looks at the clock.
    """

    def read(text: str, size: int) -> None:
        milliseconds = count()
        env = Env(
            stdin=Stream(),
            stdout=Stream(tty=tty),
            stderr=Stream(tty=tty),
            spelling=CommandLine(),
            environ={"TERM": term},
            home=ROOT,
            clock=lambda: next(milliseconds) / 1000,
            now=lambda: datetime(2026, 11, 29, tzinfo=UTC),
            sleep=lambda _seconds: None,
            terminal_size=lambda: terminal_size((80, 24)),
            load_engine=load,
            forbid_network=lambda: None,
        )
        screen = renderer(env, output)
        screen.begin(PLAN)
        try:
            for event in run(text, size):
                screen.feed(event)
        finally:
            screen.abort()

    return read


def run(text: str, size: int) -> Iterator[Event]:
    """Yield the text as thinking and as the answer of a whole run."""
    yield from (ThinkingDelta(piece, 1) for piece in pieces(text, size))
    yield from (AnswerDelta(piece, 1) for piece in pieces(text, size))
    yield Done(StopReason.END, AnswerSource.MARKER, complete=True, concluded=False, stats=Stats())


def recorded(text: str, size: int) -> None:
    """What is saved while it comes, with what was taken back."""
    with TemporaryDirectory() as folder:
        asked, now = request_record(PLAN), datetime(2026, 11, 29, tzinfo=UTC)
        for events in (run(text, size), watched(text, size)):
            for _ in record(events, asked, Path(folder), now):
                pass


def streamed(interface: Interface) -> Callable[[str, int], object]:
    """Events of a server's stream."""

    def read(text: str, size: int) -> None:
        stream, served = interface.stream(Asked("qvq-test", ())), Reply([], live=True)
        for event in run(text, size):
            for piece in served.feed(event):
                for _ in stream.piece(0, PLAN, piece):
                    pass

    return read


TOOLS = {"look": {"properties": {"word": {"type": "string"}}}}


def reply(text: str, size: int) -> None:
    """What a client of the server is sent, with texts that end it, and with the splitter before."""
    rules, served = splitter(_thinking("qvq")), Reply(["\\n\\nUser:", "}}}}}}x"], live=True)
    for piece in pieces(text, size):
        list(served.feed(AnswerDelta(piece, 1)))
        for event in rules.feed(piece):
            list(served.feed(event))
    for event in rules.close(StopReason.END):
        list(served.feed(event))


def call(text: str, size: int) -> None:
    scan = CallScan("</think>")
    for piece in pieces(text, size):
        scan.feed(piece)
    scan.rest()


def called(text: str) -> None:
    CallScan("</think>").feed(text)
    for piece in pieces(text, LONGEST_CALL_CHARS):
        read(piece)


def tool_call(text: str, size: int) -> None:
    """The calls of a client's tools."""
    scan = ToolScan(TOOLS)
    for piece in pieces(text, size):
        for _ in scan.feed(piece):
            pass
    for _ in scan.end(is_whole=True):
        pass


def tool_called(text: str) -> None:
    read_call(text, TOOLS)
    read_call(f"<function=look>{text}</function>", TOOLS)
    trailing_calls(text, ToolScan(TOOLS))


def cleaned(text: str, size: int) -> None:
    cleaner = Cleaner()
    for piece in pieces(text, size):
        cleaner.feed(piece)


def marker_lines(text: str) -> None:
    markers = Markers(_thinking("qvq").markers, _thinking("qvq").labels)
    for line in filter(None, (text, *text.splitlines())):
        markers.may_begin(line)
        markers.rest_of(line, ended=True)


def pointed(text: str) -> None:
    """In one picture of 100 times 100 pixels, and in three."""
    for pictures in (1, 3):
        report(text, [Seen()] * pictures, Coordinates.RELATIVE_1000, asked=True)


def watched(text: str, size: int) -> Iterator[Event]:
    """All guards together over a run that goes on whatever they say."""

    def steps() -> Iterator[Step]:
        for piece in pieces(text, size):
            yield Token(0, piece)
        yield Finished(StopReason.LENGTH, "", 0, 0, 0, concluded=False)

    return supervise(steps(), _thinking("qvq"), Control(), GuardLimits())


def supervised(text: str, size: int) -> None:
    for _ in watched(text, size):
        pass


@cache
def _vocabulary() -> Vocabulary:
    return Vocabulary(ROOT / "models" / "qvq-tiny" / "tokenizer.json")


def held_to_a_schema(text: str) -> None:
    """As a string within JSON, a token at a time."""
    vocabulary = _vocabulary()
    hold = SchemaHold(
        vocabulary, frozenset({vocabulary.special("<|im_end|>")}), '{"type": "string"}'
    )
    shown = text.encode("utf-8", "replace").decode()
    for token_id in vocabulary.encode(json.dumps(shown, ensure_ascii=False)):
        hold.take(token_id)
    assert hold.met


AS_IT_COMES: dict[str, Callable[[str, int], object]] = {
    "marker": splits("qvq"),
    "tag": splits("kimi-vl-thinking"),
    "tag with answer tags": splits("glm-4.1v-thinking"),
    "preopened": splits("qwen3-vl-thinking"),
    "preopened with a line": splits("apriel-1.5"),
    "call": call,
    "tool call": tool_call,
    "reply": reply,
    "answer": answer,
    "cleaned": cleaned,
    "supervised": supervised,
    "gate": gate,
    "loop": loop,
    "spelled": spelled,
    "flow": flow,
    "thoughts": thoughts,
    "screen": shown(Output(), tty=True),
    "screen with all thinking": shown(Output(view=ThinkingView.FULL), tty=True),
    "boxed on a screen": shown(Output(boxed_only=True), tty=True),
    "screen of plain lines": shown(Output(), tty=True, term="dumb"),
    "pipe": shown(Output(view=ThinkingView.FULL), tty=False),
    "JSON in a pipe": shown(Output(form=OutputForm.JSON), tty=False),
    "JSON lines in a pipe": shown(Output(form=OutputForm.JSONL), tty=False),
    "recorded": recorded,
    "chat completions": streamed(ChatCompletions()),
    "responses": streamed(Responses()),
    "messages": streamed(Messages()),
}
"""Readers of text that comes in pieces of so many characters."""
BY_THE_CHARACTER = {
    f"{name} by the character": cut(reader, 1) for name, reader in AS_IT_COMES.items()
}
READERS: dict[str, Callable[[str], object]] = {
    "boxed": boxed,
    "through_box": through_box,
    "canonical": canonical,
    "conclusion": concluding_paragraph,
    "marker lines": marker_lines,
    "called": called,
    "tool called": tool_called,
    "kept": lambda text: kept_rows(text, 80),
    "spoken": lambda text: spoken_rows(text, 80),
    "lenient JSON": outermost,
    "pointed": pointed,
    "schema": held_to_a_schema,
    "language": lambda text: leaves(text, frozenset({Script.LATIN})),
    "found": lambda text: found(text, bare=True),
    "readable": readable,
    "formulas": formulas,
    "only_box": only_box,
    "blocks": blocks,
    "wrap": lambda text: wrap(text, 80),
    "clean": clean,
    "cleaned line": clean_line,
    "markdown": lambda text: markdown_rows(text, 80),
    "code": code_blocks,
    "parted": parted,
    "saved": lambda text: examine(text, _thinking("qvq")),
    **{name: cut(reader, 3) for name, reader in AS_IT_COMES.items()},
    **BY_THE_CHARACTER,
}


UNHURRIED = {"answer", *(name for name in AS_IT_COMES if "screen" in name), *BY_THE_CHARACTER}
"""Readers that lay out a frame for every few characters, or take each by itself."""
NO_READERS = {
    "guards/budget.py": "reads an option",
    "guards/pushed.py": "hands steps on to the guards",
}
"""Modules of rooms whose business is a model's text that read none."""


def test_every_module_that_reads_a_models_text_is_reached_by_a_reader() -> None:
    entered = set()
    texts = ("So.\n\n**Final Answer**\n\n\\boxed{1}", '[{"bbox_2d": [1, 2, 3, 4]}]', "word " * 900)

    def see(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call":
            entered.add(frame.f_code.co_filename)

    before = sys.getprofile()
    sys.setprofile(see)
    try:
        for reader in READERS.values():
            for text in texts:
                reader(text)
    finally:
        sys.setprofile(before)
    package = Path(qvq_mlx.__file__).parent
    rooms = ("reply", "pointing", "guards")
    modules = {path for room in rooms for path in (package / room).glob("[!_]*.py")}
    missed = {str(path.relative_to(package)) for path in modules if str(path) not in entered}
    assert missed == set(NO_READERS)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("name", READERS)
def test_it_raises_nothing(name: str) -> None:
    chars = 500 if name in UNHURRIED else 1500
    for pattern in PATTERNS:
        deep = _text(pattern, min(335 * len(pattern), 2000))
        for text in (_text(pattern, chars), f"\\[{_text(pattern, chars)}\\]", f"${deep}$"):
            READERS[name](text)


@pytest.mark.sampled(80)
@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "text",
    [
        "9" * 5000,
        f"-{'9' * 310}.5e400",
        f"\\boxed{{{'7' * 5000}}}",
        f"${'3' * 400}$ \\[{'4' * 400}\\]",
        f"[{'0,' * 2000}0]",
        f'[{{"bbox_2d": [{"9" * 310}, 1, 2, {"8" * 5000}], "label": "a"}}]',
        f"<|box_start|>({'9' * 310},1),(2,{'8' * 310})<|box_end|>",
        f"<points x1='{'9' * 190}' y1='1'> picture {'1' * 300}",
        f'<tool_call>{{"name": "image_zoom_in_tool", "img_idx": {"9" * 1500}}}</tool_call>',
        f"{'9' * 5000}. item\n{'9' * 9}. item\n",
        "$" + "\\sqrt" * 3000 + "$",
        "$$" + "\\sqrt{" * 3000 + "}" * 3000 + "$$",
        "\\boxed{" * 3000 + "}" * 3000,
        "[" * 5000 + "]" * 5000,
        '{"a":' * 5000,
        ">" * 5000 + " a",
        "- " * 3000 + "a",
        f"\\frac{{{'1' * 400}}}{{{'0' * 400}}} = 10^{{{'9' * 400}}}",
        "&#" + "9" * 5000 + ";",
    ],
    ids=lambda text: text[:12],
)
def test_long_numbers_and_deep_nesting_are_no_error(name: str, text: str) -> None:
    READERS[name](text)


@pytest.mark.measured
@pytest.mark.parametrize("name", READERS)
def test_twice_the_text_takes_about_twice_as_long(name: str) -> None:
    """And 64,000 characters take less than a second, however they are made.

    What lays out a frame for every few characters may take longer, and grows no faster. What looks
    too slow is measured again, and the least counts: another process can only add to it, and so can
    a processor that runs at half its speed for some seconds.
    """
    slow = []
    for pattern in PATTERNS:
        half, whole = _text(pattern, 32_000), _text(pattern, 64_000)
        whole_s = _cpu_s(READERS[name], whole)
        if whole_s < 0.1:
            continue  # too short to say anything
        half_s = _cpu_s(READERS[name], half)
        for _ in range(40):
            if not _is_slow(name, half_s, whole_s):
                break
            half_s = min(half_s, _cpu_s(READERS[name], half))
            whole_s = min(whole_s, _cpu_s(READERS[name], whole))
        if _is_slow(name, half_s, whole_s):
            slow.append((pattern, half_s, whole_s))
    assert not slow


def _is_slow(name: str, half_s: float, whole_s: float) -> bool:
    return whole_s > 2.2 * half_s or (whole_s > 1 and name not in UNHURRIED)


def _thinking(name: str) -> Thinking:
    thinking = voice(name)
    assert thinking is not None
    return thinking


def _text(pattern: str, chars: int) -> str:
    return (pattern * (chars // len(pattern) + 1))[:chars]


def _cpu_s(reader: Callable[[str], object], text: str) -> float:
    block_rows.cache_clear()
    kept_block.cache_clear()
    gc.disable()
    begun = time.process_time()
    try:
        reader(text)
    finally:
        gc.enable()
    return time.process_time() - begun


@pytest.mark.parametrize("text", ["a\tb\tc " * 40, "word" + " " * 500 + "end", " " * 300 + "x\ty"])
def test_rows_are_the_same_however_the_text_is_cut(text: str) -> None:
    reader, thinking, taken = Flow(), Thoughts(), []
    reader.rows(20, 200, compact=False)
    for piece in pieces(text):
        reader.add(piece)
        thinking.add(piece)
        taken += thinking.take(20, ended=False, rows=True)
    taken += thinking.take(20, ended=True, rows=True)
    assert reader.rows(20, 200, compact=False) == wrap(text, 20) == [row.plain for row in taken]


@pytest.mark.parametrize(
    ("line", "is_marker"),
    [
        ("**Final Answer** 4\n", True),
        (f"**Final Answer** {'4' * 300}\n", True),
        (f"**Final Answer** {'4' * 500}\n", False),
        (f"**Final Answer**{' ' * 500}4\n", False),
        (f"{' ' * 500}**Final Answer** 4\n", False),
        (f"**{' ' * 500}Final Answer** 4\n", False),
    ],
)
def test_a_marker_line_is_bounded_however_it_is_cut(line: str, is_marker: bool) -> None:
    for size in (1, 7, 1000):
        rules, answer = splitter(_thinking("qvq")), ""
        for piece in pieces(f"So.\n{line}", size):
            events = list(rules.feed(piece))
            answer += "".join(e.text for e in events if isinstance(e, AnswerDelta))
        assert bool(answer) is is_marker


def test_a_list_too_long_to_be_laid_out_ends_as_plain_text() -> None:
    text = "".join(f"- item {number}\n" for number in range(5000))
    assert "".join(blocks(text)) == text
    rows = [row.plain for row in markdown_rows(text, 80)]
    assert [row.split()[-1] for row in rows if row] == [str(number) for number in range(5000)]
    assert not rows[10].startswith("-")
    assert rows[-1] == "- item 4999"
    code = "```python\n" + "# a\n" * 5000 + "```\n"
    assert blocks(code) == [code]

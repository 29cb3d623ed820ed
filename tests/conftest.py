"""The world of a test: an `Env` with streams in memory, a scripted engine, and no network."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, settings

from qvq_mlx.cli.main import main
from qvq_mlx.cli.spelling import CommandLine
from qvq_mlx.core.env import Engine, Env
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.rounds import Round
from qvq_mlx.core.setup import Checkpoint, Setup
from qvq_mlx.core.tokens import Asked, Control, Finished, Generation, Prompt, Step, Token

ROOT = Path(__file__).parents[1]

# The suite finds the same today and tomorrow, on a busy machine as on a quiet one: examples follow
# from the test itself, and no clock ends one. `make fuzz` draws others: --hypothesis-profile=fuzz.
settings.register_profile(
    "fuzz", deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("suite", settings.get_profile("fuzz"), derandomize=True)
settings.load_profile("suite")

# A signal that whoever started the suite ignores (nohup, a script's `&`) stays ignored in qvq and
# in what it starts; the tests are about the others.
for _number, _default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
    (signal.SIGTERM, signal.SIG_DFL),
    (signal.SIGQUIT, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)
EXAMPLES = ROOT / "examples"


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many a test waits for a program that it started."""
    return 1 + (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow all but one in N cases of a test that says `sampled(N)`.

    Which ones stay follows from their names, so they are spread over every parameter, and are the
    same today and tomorrow.
    """
    cases: defaultdict[tuple[str, int], list[pytest.Item]] = defaultdict(list)
    for item in items:
        # workers number their cases alike, and a case keeps its name until tomorrow
        assert " at 0x" not in item.nodeid, f"{item.nodeid}: say ids=[...]"
        if marker := item.get_closest_marker("sampled"):
            cases[item.nodeid.partition("[")[0], marker.args[0]].append(item)
    for (_, one_in), found in cases.items():
        found.sort(key=lambda item: crc32(item.nodeid.encode()))
        for item in found[-(-len(found) // one_in) :]:
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(tryfirst=True)  # before the worker tells its order
def pytest_collection_finish(session: pytest.Session) -> None:
    """Have tests that are marked `long` begin first, one on each worker, so that none ends alone.

    A worker is given a fourth of its share to begin with, a run of tests that stand together.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    share = max(len(session.items) // workers // 4, 2)
    long = [item for item in session.items if item.get_closest_marker("long")]
    others = [item for item in session.items if not item.get_closest_marker("long")]
    ordered: list[pytest.Item] = []
    for worker in range(workers):
        first = long[worker::workers]
        rest = max(share - len(first), 0)
        ordered += [*first, *others[:rest]]
        others = others[rest:]
    session.items[:] = ordered + others


class Stream(io.TextIOWrapper):
    """A text stream in memory that can claim to be a terminal."""

    def __init__(self, content: bytes = b"", *, tty: bool = False) -> None:
        super().__init__(io.BytesIO(content), encoding="utf-8", newline="")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined]


@dataclass
class ScriptedEngine:
    """Says what a test tells it to, word by word; forces the closing text when asked to."""

    words: Sequence[str]
    after_closing: Sequence[str] = ()
    on_token: Callable[[int, Control], None] = lambda _index, _control: None
    asked: list[tuple[str, int, str | None]] = field(default_factory=list)
    generations: list[Generation] = field(default_factory=list)
    others: Sequence[Sequence[str]] = ()
    rounds: list[tuple[Round, ...]] = field(default_factory=list)
    thinks: list[bool] = field(default_factory=list)
    added: list[tuple[str, tuple[Picture, ...]]] = field(default_factory=list)
    """The messages that went on from a reply, and their pictures."""

    def load(
        self, checkpoint: Checkpoint, setup: Setup, control: Control
    ) -> Generator[Progress, None, Engine | None]:
        yield Progress(Stage.LOAD, 0, 0)
        if control.stopping:
            return None
        yield Progress(Stage.LOAD, 100, 100)
        return self

    def prompt(
        self,
        question: str,
        pictures: Sequence[Picture],
        system: str | None,
        rounds: Sequence[Round] = (),
        *,
        labelled: bool = True,
        inline: bool = False,
        thinks: bool = True,
    ) -> Prompt:
        self.asked.append((question, len(pictures), system))
        self.rounds.append(tuple(rounds))
        self.thinks.append(thinks)
        return Prompt((1, 2, 3), tuple(pictures))

    def extended(
        self,
        prompt: Prompt,
        written: Sequence[int],
        text: str,
        pictures: Sequence[Picture] = (),
        *,
        thinks: bool = True,
    ) -> Prompt:
        self.added.append((text, tuple(pictures)))
        return Prompt((*prompt.ids, *written, 4), (*prompt.pictures, *pictures))

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        yield Progress(Stage.PREFILL, 0, 3)
        yield Progress(Stage.PREFILL, 3, 3)
        yield from self._row(generation, control, self._texts(1)[0])

    def generate_rows(
        self, prompt: Prompt, ways: Sequence[tuple[Generation, Control]]
    ) -> Iterator[Step]:
        yield Progress(Stage.PREFILL, 0, 3)
        yield Progress(Stage.PREFILL, 3, 3)
        texts = self._texts(len(ways))
        rows = [self._row(*way, text) for way, text in zip(ways, texts, strict=True)]
        ends: dict[int, Step] = {}
        while len(ends) < len(rows):
            for number, row in enumerate(rows):
                if number in ends:
                    continue
                match next(row):
                    case Token() as token:
                        yield replace(token, row=number)
                    case end:
                        ends[number] = end
        yield from (ends[number] for number in range(len(rows)))

    def under(self, setup: Setup) -> Engine:
        return self

    def generate_each(
        self, asked: Iterator[Asked], most: int, beyond: float | None = None
    ) -> Iterator[tuple[int, Step]]:
        self.beyond = beyond
        waiting, live = enumerate(asked), {}
        while True:
            if len(live) < most and (taken := next(waiting, None)) is not None:
                number, one = taken
                yield number, Progress(Stage.PREFILL, 0, 3)
                yield number, Progress(Stage.PREFILL, 3, 3)
                live[number] = self._row(one.generation, one.control, self._texts(1)[0])
            elif not live:
                return
            for number, row in list(live.items()):
                step = next(row)
                yield number, replace(step, row=number) if isinstance(step, Token) else step
                if isinstance(step, Finished):
                    del live[number]

    def _texts(self, count: int) -> list[Sequence[str]]:
        """What the next texts are: `others` come after `words`, and then again."""
        every = [self.words, *self.others]
        begun = len(self.generations)
        return [every[(begun + number) % len(every)] for number in range(count)]

    def _row(
        self, generation: Generation, control: Control, words: Sequence[str]
    ) -> Iterator[Step]:
        self.generations.append(generation)
        reason, concluded, forced = StopReason.END, False, False
        queue = list(words)
        index = 0
        while queue:
            if control.stopping:
                reason = control.reason
                break
            if index >= generation.max_tokens:
                reason = StopReason.LENGTH
                break
            if control.concluding and not concluded:
                concluded = True
                queue = [generation.closing, *self.after_closing]
                forced = True
            yield Token(index, queue.pop(0), forced)
            forced = False
            self.on_token(index, control)
            index += 1
        yield Finished(reason, "", 3, 0, 0, concluded)


@dataclass
class World:
    """One `Env` and what came out of it."""

    env: Env
    stdout: Stream
    stderr: Stream

    def run(self, *argv: str) -> int:
        return main(list(argv), self.env)

    @property
    def out(self) -> str:
        return self.stdout.text()

    @property
    def err(self) -> str:
        return self.stderr.text()


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """Build a world: `world(words=[...])` scripted, `world()` with the real engine."""

    def build(
        words: Sequence[str] | None = None,
        *,
        engine: ScriptedEngine | None = None,
        stdin: bytes = b"",
        tty: bool = False,
        err_tty: bool = False,
        environ: dict[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
    ) -> World:
        from qvq_mlx import engine as real

        scripted = engine or (ScriptedEngine(words) if words is not None else None)
        ticks = iter(range(10**9))
        stdout, stderr = Stream(tty=tty), Stream(tty=err_tty)
        env = Env(
            stdin=Stream(stdin),
            stdout=stdout,
            stderr=stderr,
            spelling=CommandLine(),
            environ={"TERM": "xterm", "QVQ_HOME": str(tmp_path / "qvq"), **(environ or {})},
            home=tmp_path,
            clock=lambda: next(ticks) / 100,
            sleep=lambda _seconds: None,
            now=lambda: datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
            terminal_size=lambda: os.terminal_size(size),
            load_engine=scripted.load if scripted else real.load,
            forbid_network=lambda: None,
        )
        return World(env, stdout, stderr)

    return build


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing in the suite may leave this machine."""

    def refuse(self: socket.socket, address: object, *_: object) -> None:
        host = address[0] if isinstance(address, tuple) else address
        if host not in ("127.0.0.1", "::1", "localhost") and not isinstance(address, str):
            raise AssertionError(f"a connection to {address!r} was tried")
        real(self, address)  # type: ignore[arg-type]

    real = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)

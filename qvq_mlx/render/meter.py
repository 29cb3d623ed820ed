"""Counts and times of a run as it goes on, and the words for them.

Law: seconds count from the first delta; a token counts where its text came out; a retraction
moves the answer's tokens back to the thinking.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Looked,
    Notice,
    Progress,
    Stage,
    Stats,
    ThinkingDelta,
)
from qvq_mlx.core.sizes import counted, size, unit_of


@dataclass(slots=True)
class Meter:
    """Numbers for the status, the header and the collapsed line."""

    clock: Callable[[], float]
    progress: Progress | None = None
    thinking_tokens: int = 0
    answer_tokens: int = 0
    begun: float = 0.0
    first: float | None = None
    answering_since: float | None = None
    voting_since: float | None = None
    checking_since: float | None = None

    def begin(self) -> None:
        """The run starts now."""
        self.begun = self.clock()

    def saw(self, event: Event) -> None:
        """Count one event."""
        match event:
            case Progress():
                self.progress = event
                if event.stage is Stage.VOTE and self.voting_since is None:
                    self.voting_since = self.clock()
                if event.stage is Stage.DOUBLE_CHECK and self.checking_since is None:
                    self.checking_since = self.clock()
            case ThinkingDelta(tokens=tokens):
                self._start()
                self.thinking_tokens += tokens
            case AnswerDelta(tokens=tokens):
                self._start()
                self.answer_tokens += tokens
                if self.answering_since is None:
                    self.answering_since = self.clock()
            case AnswerRetracted():
                self.thinking_tokens += self.answer_tokens
                self.answer_tokens = 0
                self.answering_since = None
            case Looked() | Notice() | Done():
                pass

    @property
    def thought_s(self) -> float:
        """From the first delta, or the start of a vote, to the answer, or to now."""
        begun = self.first if self.voting_since is None else self.voting_since
        if begun is None:
            return 0.0
        end = self.clock() if self.answering_since is None else self.answering_since
        return end - begun

    @property
    def working_s(self) -> float:
        """From the beginning of the run."""
        return self.clock() - self.begun

    def checking(self) -> list[str]:
        """`Checking 3s`, `40 tok`: the double check; nothing before it."""
        if self.checking_since is None:
            return []
        tokens = self.progress.done if self.progress is not None else 0
        return [f"Checking {short(self.clock() - self.checking_since)}", f"{tokens:,} tok"]

    def headers(self, word: str, tokens: int, since: float | None, budget: int | None) -> list[str]:
        """`Thinking 12s · 480/4,096 tok · 7.9 tok/s`, and ever shorter ways to say it.

        The rate comes once it means something; `budget` None: no bounds.
        """
        elapsed = self.clock() - since if since is not None else 0.0
        head = f"{word} {short(elapsed)}"
        count = f"{tokens:,}" if budget is None else f"{tokens:,}/{budget:,}"
        rates = []
        if elapsed >= 1 and tokens > 1:
            speed = (tokens - 1) / elapsed
            rate = f"{speed:.1f}" if speed < 10 else f"{speed:,.0f}"
            rates = [f"{head} · {count} tok · {rate} tok/s", f"{head} · {count} · {rate}/s"]
        return [*rates, f"{head} · {count} tok", f"{head} · {count}", f"{head} · {tokens:,}", head]

    def _start(self) -> None:
        if self.first is None:
            self.first = self.clock()


def status(progress: Progress) -> str:
    """`load 62 %`, `encode`, `prefill 812/1,310`."""
    if progress.total <= 0 or progress.stage is Stage.ENCODE:
        return progress.stage.value
    if progress.stage is Stage.LOAD:
        percent = min(100, 100 * progress.done // progress.total)
        return f"load {percent} %"
    return f"{progress.stage.value} {progress.done:,}/{progress.total:,}"


def short(seconds: float) -> str:
    """`12s`, `1m 12s`: for a header that changes."""
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60:,}m {whole % 60}s"


def spelled(seconds: float) -> str:
    """`0.4 s`, `42 s`, `1 min 12 s`: for a line that stays."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60:,} min {whole % 60} s"


def thought(meter: Meter) -> list[str]:
    """`Thought for 42 s`, `1,284 tokens`."""
    count = meter.thinking_tokens
    return [
        f"Thought for {spelled(meter.thought_s)}",
        counted(count, "token"),
    ]


def stats_line(stats: Stats) -> str:
    """The numbers of `--verbose` after the end."""
    cached = f", {stats.cached_tokens:,} cached" if stats.cached_tokens else ""
    if stats.cached_images:
        cached += f" ({stats.cached_images} image{'s' * (stats.cached_images > 1)})"
    parts = [
        f"prompt {stats.prompt_tokens:,} tokens, {stats.image_tokens:,} of them image{cached}",
        f"thinking {stats.thinking_tokens:,}",
        f"answer {stats.answer_tokens:,}",
        f"first token after {stats.first_token_s:.1f} s",
        f"{stats.tokens_per_s:.1f} tokens/s",
    ]
    if stats.drafted_tokens:
        parts.append(
            f"{stats.drafter} drafted {stats.drafted_tokens:,}, {stats.accepted_tokens:,} right, "
            f"{stats.passes:,} passes"
        )
    if stats.drafter_off:
        parts.append(f"no drafts of {stats.drafter}: {stats.drafter_off}")
    if stats.peak_memory_bytes:
        parts.append(_peaks(stats))
    if stats.server_pid is not None:
        parts.append(f"model of the server (pid {stats.server_pid})")
    if stats.host is not None:
        parts.append(f"answered by {stats.host}")
    return " · ".join(parts)


def _peaks(stats: Stats) -> str:
    """`peak 41.9 GiB (load 38.6, encode 40.1, prefill 41.9)`; stages without one are left out."""
    unit, _ = unit_of(stats.peak_memory_bytes)
    stages = (
        ("load", stats.load_peak_bytes),
        ("encode", stats.encode_peak_bytes),
        ("prefill", stats.prefill_peak_bytes),
    )
    told = ", ".join(f"{name} {peak / unit:.1f}" for name, peak in stages if peak)
    return f"peak {size(stats.peak_memory_bytes)}" + (f" ({told})" if told else "")


class Stages:
    """`--verbose`: one line for each stage when it is over, and one for the whole run."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last: Progress | None = None
        self._since = 0.0

    def lines(self, event: Event) -> list[str]:
        """Yield the lines that this event makes worth saying."""
        found = []
        last = self._last
        new = event if isinstance(event, Progress) else None
        if last is not None and (new is None or new.stage is not last.stage):
            found.append(_ended(last, self._clock() - self._since))
        if new is not None and (last is None or new.stage is not last.stage):
            self._since = self._clock()
        self._last = new
        if isinstance(event, Done):
            found.append(stats_line(event.stats))
        return found


def _ended(progress: Progress, seconds: float) -> str:
    name = progress.stage.value
    if progress.total <= 0:
        return f"{name} {seconds:.1f} s"
    if progress.stage is Stage.LOAD:
        return f"{name} {size(progress.total)} in {seconds:.1f} s"
    if progress.stage is Stage.CALIBRATE:
        return f"{name} {progress.total:,} measurements in {seconds:.1f} s (kept for later runs)"
    unit_name = "samples" if progress.stage is Stage.VOTE else "tokens"
    return f"{name} {progress.total:,} {unit_name} in {seconds:.1f} s"

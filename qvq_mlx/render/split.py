"""A saved output that was told apart: what a person should know of it, and its answer."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.guards.saved import Examined
from qvq_mlx.render.clean import clean, clean_line
from qvq_mlx.render.rows import wrap


def write_findings(env: Env, found: Examined) -> None:
    """Facts on stderr, for a person."""
    if env.stderr.isatty():
        env.stderr.write("".join(f"{clean_line(line)}\n" for line in _findings(found)))
        env.stderr.flush()


def write_answer(env: Env, answer: str) -> None:
    """The answer on stdout: as it is in a pipe, harmless and wrapped on a terminal."""
    if env.stdout.isatty():
        answer = "\n".join(wrap(clean(answer), env.terminal_size().columns))
    env.stdout.write(answer + "\n")


def _findings(found: Examined) -> list[str]:
    """Return what a person should know, one line each."""
    thinking, answer = found.transcript.thinking, found.transcript.answer
    sizes = f"thinking {len(thinking):,} characters, answer {len(answer):,}"
    lines = [f"{sizes} (source: {found.done.answer_source})"]
    if found.loop:
        lines.append(
            f"loop at character {found.loop.at_char:,}, period {found.loop.period_chars:,}"
        )
    for part, counts in (("thinking", found.thinking_scripts), ("answer", found.answer_scripts)):
        if len(counts) > 1:
            spelt = ", ".join(f"{script} {letters:,}" for script, letters in counts.items())
            lines.append(f"{part} in several scripts: {spelt}")
    return lines

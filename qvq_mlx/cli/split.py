"""`qvq split`: a saved output of a model, told apart into thinking and answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from qvq_mlx.core.card import Thinking
    from qvq_mlx.core.env import Env
    from qvq_mlx.guards.saved import Examined
    from qvq_mlx.run.world import World


def split(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A text file, or - for stdin.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME", help="Whose output it is.")
    ] = "qvq",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Split a saved output into thinking and answer, and look for loops.

    stdout gets the answer. The exit code is 3 where there is none.
    """
    from qvq_mlx.core.errors import NoAnswerError
    from qvq_mlx.guards.saved import examine, has_answer
    from qvq_mlx.render.clean import clean_line, json_text

    world: World = context.obj
    env = world.env
    found = examine(_text(file, env), _voice(model))
    whole = has_answer(found)
    if as_json:
        document = _document(found, whole=whole)
        env.stdout.write(json_text(document, indent=2) + "\n")
    else:
        if env.stderr.isatty():
            env.stderr.write("".join(f"{clean_line(line)}\n" for line in _findings(found)))
            env.stderr.flush()
        if whole:
            answer = found.transcript.answer
            env.stdout.write((_for_terminal(answer, env) if env.stdout.isatty() else answer) + "\n")
    if not whole:
        raise NoAnswerError(_why_not(found), "" if as_json else f"qvq split --json {file}")


def _text(file: str, env: Env) -> str:
    """The text of a file; bytes that are no UTF-8 become U+FFFD. Raises InputError."""
    from pathlib import Path

    from qvq_mlx.core.errors import InputError

    try:
        content = env.stdin.buffer.read() if file == "-" else Path(file).expanduser().read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{file} cannot be read: {why}", "qvq split --help") from error
    return content.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _voice(model: str) -> Thinking:
    """The voice of a shipped card, or of a model that is known by its voice alone."""
    from qvq_mlx.answer.styles import voice
    from qvq_mlx.store import registry

    shipped = next((card for card in registry.cards() if card.answers_to(model)), None)
    if shipped is not None:
        return shipped.thinking
    return voice(model) or registry.find(model).thinking


def _document(found: Examined, *, whole: bool) -> dict[str, object]:
    from dataclasses import asdict

    from qvq_mlx.records.runs import VERSION

    answer = found.transcript.answer
    loop = found.loop
    return {
        "version": VERSION,
        "thinking": found.transcript.thinking,
        "answer": answer if whole else None,
        "partial_answer": (answer or None) if not whole else None,
        "answer_source": found.done.answer_source,
        "cut": found.done.stop_reason != "end",
        "loop": {"at_char": loop.at_char, "period_chars": loop.period_chars} if loop else None,
        "scripts": {"thinking": found.thinking_scripts, "answer": found.answer_scripts},
        "notices": [asdict(notice) for notice in found.notices],
    }


def _findings(found: Examined) -> list[str]:
    """What a person should know, one line each."""
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


def _why_not(found: Examined) -> str:
    if not found.transcript.thinking and not found.transcript.answer:
        return "the text is empty"
    if found.loop:
        return f"no whole answer: the text goes in circles from character {found.loop.at_char:,}"
    if found.done.stop_reason != "end":
        return "no whole answer: the text was cut off"
    return "no answer: the text ends within the thinking"


def _for_terminal(text: str, env: Env) -> str:
    from qvq_mlx.render.clean import clean
    from qvq_mlx.render.rows import wrap

    return "\n".join(wrap(clean(text), env.terminal_size().columns))

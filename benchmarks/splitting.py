"""How well saved outputs are split, and how fast.

    python -m benchmarks.splitting --data FOLDER [--model NAME] [--expect FILE]
    python -m benchmarks.splitting --speed

FOLDER holds JSON Lines files whose records have `id` and `output`. The expectations name a record
by its id and the SHA-256 of its text, and give the answer as character offsets, how it is found,
and the character at which the third repetition of a loop ends (docs/thinking.md says how they were
made). A record without an expectation is run as a control: what is found in it is listed, to be
judged.

Speed is measured on text of random words and lines without loops, so that nothing is spared,
1 MB against 100 KB in turns, in CPU seconds of the process; the median of the rounds.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.core.card import Thinking
from qvq_mlx.core.events import AnswerSource
from qvq_mlx.guards.saved import Examined, examine, has_answer
from qvq_mlx.store.styles import voice

EXPECTATIONS = Path(__file__).with_suffix(".json")


@dataclass(frozen=True, slots=True)
class Expected:
    """What a person found in a text. `answer` is a span of characters."""

    answer: tuple[int, int] | None
    source: AnswerSource
    third_repetition_ends: int | None


@dataclass(slots=True)
class Score:
    """Counts over a folder."""

    outputs: int = 0
    labelled: int = 0
    split_right: int = 0
    loops: int = 0
    loops_caught: int = 0
    loops_in_time: int = 0
    false_alarms: int = 0
    controls: int = 0
    control_loops: int = 0


def expectations(path: Path) -> dict[tuple[str, str], Expected]:
    """By id and SHA-256 of the text."""
    return {
        (entry["id"], entry["sha256"]): Expected(
            answer=tuple(entry["answer"]) if entry["answer"] else None,
            source=AnswerSource(entry["source"]),
            third_repetition_ends=entry["third_repetition_ends"],
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
    }


def judge(folder: Path, known: dict[tuple[str, str], Expected], thinking: Thinking) -> Score:
    """Run every output, and print what is not as expected."""
    score = Score()
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            text = record["output"]
            digest = hashlib.sha256(text.encode()).hexdigest()
            found = examine(text, thinking)
            score.outputs += 1
            expected = known.get((record["id"], digest))
            if expected is None:
                _control(record["id"], found, score)
            else:
                _labelled(record["id"], text, found, expected, score)
    return score


def _control(name: str, found: Examined, score: Score) -> None:
    score.controls += 1
    if found.loop:
        score.control_loops += 1
        print(f"  {name}: loop at {found.loop.at_char}, period {found.loop.period_chars}")


def _labelled(name: str, text: str, found: Examined, expected: Expected, score: Score) -> None:
    score.labelled += 1
    span = expected.answer
    answer = found.transcript.answer if has_answer(found) else None
    wanted = text[span[0] : span[1]] if span else None
    if (answer, found.done.answer_source) == (wanted, expected.source):
        score.split_right += 1
    else:
        print(f"  {name}: split wrong, source {found.done.answer_source}")
    ends = expected.third_repetition_ends
    if ends is None:
        if found.loop:
            score.false_alarms += 1
            print(f"  {name}: false alarm at {found.loop.at_char}")
        return
    score.loops += 1
    if not found.loop:
        print(f"  {name}: loop missed")
        return
    score.loops_caught += 1
    score.loops_in_time += found.loop.at_char <= ends
    print(
        f"  {name}: loop found at {found.loop.at_char} of {len(text)}"
        f" (period {found.loop.period_chars}; the third repetition ends at {ends})"
    )


def report(score: Score) -> None:
    """Print the counts."""
    print(f"outputs                    {score.outputs:5}")
    print(f"split right                {score.split_right:5} of {score.labelled}")
    print(f"loops caught               {score.loops_caught:5} of {score.loops}")
    print(f"  by the third repetition  {score.loops_in_time:5} of {score.loops}")
    print(f"false alarms               {score.false_alarms:5} of {score.labelled - score.loops}")
    if score.controls:
        print(f"loops in controls          {score.control_loops:5} of {score.controls}")


def speed(rounds: int, thinking: Thinking) -> None:
    """Print MB/s for 100 KB and 1 MB, in turns."""
    sizes = (100_000, 1_000_000)
    texts = {size: _prose(size) for size in sizes}
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, text in texts.items():
            began = time.process_time()
            found = examine(text, thinking)
            rates[size].append(len(text) / (time.process_time() - began) / 1e6)
            assert found.loop is None
    for size in sizes:
        median, best = statistics.median(rates[size]), max(rates[size])
        print(f"{size:9,} characters   median {median:5.2f} MB/s   best {best:5.2f} MB/s")


def _prose(size: int) -> str:
    draw = random.Random(7)  # noqa: S311 - text to measure with, no secret
    words = ["".join(draw.choices("etaoinshrdlu", k=draw.randint(1, 9))) for _ in range(8_000)]
    lines: list[str] = []
    length = 0
    while length < size:
        line = " ".join(draw.choices(words, k=draw.randint(4, 40))) + draw.choice(
            (".\n", ".\n\n", " \\(x^2\\).\n")
        )
        lines.append(line)
        length += len(line)
    return "".join(lines)[:size]


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--expect", type=Path, default=EXPECTATIONS)
    parser.add_argument("--model", default="qvq")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    thinking = voice(given.model)
    if thinking is None or not (given.data or given.speed):
        parser.error("give --data FOLDER or --speed, and a --model that is known")
    if given.data:
        report(judge(given.data, expectations(given.expect), thinking))
    if given.speed:
        speed(given.rounds, thinking)


if __name__ == "__main__":
    main()

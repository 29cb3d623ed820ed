"""The live panel of a question, fed by commands.

    python -m tests.support.pseudo.panel COMMANDS VIEW

COMMANDS is a pipe in the file system. Each line of it is a kind of event and a number:
`thinking 40` and `answer 40` are so many numbered words, `done 0` ends. A word stands once.
"""

from __future__ import annotations

import sys
from pathlib import Path

from qvq_mlx.cli.world import real_env
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerSource,
    Done,
    Stats,
    StopReason,
    ThinkingDelta,
)
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.render.opening import Manner, Opening
from qvq_mlx.render.tty import Screen


def main(commands: Path, view: str) -> None:
    screen = Screen(real_env(), manner=Manner(ThinkingView(view), answers=True, hint="qvq last"))
    screen.open(Opening(receipts=("shapes.png 640×640 → 140×140 · 25 tokens",), can_conclude=True))
    said = 0
    with commands.open() as lines:
        for line in lines:
            kind, count = line.split()
            for _ in range(int(count)):
                said += 1
                match kind:
                    case "thinking":
                        screen.feed(ThinkingDelta(f"t{said:05} ", 1))
                    case "answer":
                        screen.feed(AnswerDelta(f"a{said:05}" + "\n\n" * (said % 50 == 0) + " ", 1))
            if kind == "done":
                screen.feed(Done(StopReason.END, AnswerSource.MARKER, True, False, Stats()))
    screen.abort()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

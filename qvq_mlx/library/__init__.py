"""qvq for other Python programs: `from qvq_mlx import answer`.

Law: it is the same code as the command. A question is the same `Request`, its events are the same
events, a result is what `--json` prints. Nothing is printed, stdin is left alone, and nothing is
kept in the history unless `Options.save` says so. Errors are QvqErrors whose text names arguments.
"""

from __future__ import annotations

from qvq_mlx.core.errors import QvqError
from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Event,
    Notice,
    Progress,
    ThinkingDelta,
)
from qvq_mlx.library.asking import Model, answer, ask
from qvq_mlx.library.options import Options
from qvq_mlx.library.pictures import Image
from qvq_mlx.records.runs import ResultRecord as Result

__all__ = [
    "AnswerDelta",
    "AnswerRetracted",
    "Done",
    "Event",
    "Image",
    "Model",
    "Notice",
    "Options",
    "Progress",
    "QvqError",
    "Result",
    "ThinkingDelta",
    "answer",
    "ask",
]

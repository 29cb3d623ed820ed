"""Where a training run stands: its clock, and the running figures of its log.

Law: rates depend on wall time alone, apart from a warm-up counted in steps. They stay at the peak
and fall to the floor in the last part of a run only, so that a run can be continued on another day
from a checkpoint of its level part.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

WARM_UP_STEPS = 100


@dataclass(frozen=True, slots=True)
class Scored:
    """What a text batch says about the model, per label."""

    loss: Tensor
    right: Tensor  # (labels,) bool
    content: Tensor  # (labels,) bool: tokens that carry what was seen
    task: Tensor  # (labels,)
    reply: Tensor  # (labels,) one number per reply


class Tally:
    """Running figures of the log: share of replies whose every content token is right, per task."""

    def __init__(self, tasks: tuple[str, ...]) -> None:
        self.tasks = tasks
        self.replies = np.zeros((len(tasks), 2))
        self.losses: list[tuple[float, float]] = []

    def add(self, grounding: Tensor, scored: Scored | None) -> None:
        """Count one batch."""
        self.losses.append((grounding.item(), scored.loss.item() if scored else math.nan))
        if scored is None:
            return
        wrong = set(scored.reply[~scored.right & scored.content].tolist())
        for reply, task in set(zip(scored.reply.tolist(), scored.task.tolist(), strict=True)):
            self.replies[task] += (reply not in wrong, 1)

    def __str__(self) -> str:
        grounding, text = np.mean(self.losses, 0)
        shares = " ".join(
            f"{task} {good / count:.3f}"
            for task, (good, count) in zip(self.tasks, self.replies, strict=True)
            if count
        )
        return f"grounding {grounding:.3f} text {text:.4f} exact: {shares}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A span of wall time with its own warm-up and fall; times are seconds of `time.time`."""

    begin_s: float
    end_s: float
    peak: float
    floor: float
    level: float = 0.0  # share of the time that is spent at the peak

    def fraction(self) -> float:
        """Share of the stage that is over."""
        return min(1.0, (time.time() - self.begin_s) / max(1.0, self.end_s - self.begin_s))

    def rate(self, step: int) -> float:
        """Learning rate of step `step` at this moment."""
        falling = max(0.0, self.fraction() - self.level) / max(1e-9, 1 - self.level)
        cosine = 0.5 * (1 + math.cos(math.pi * falling))
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.peak * warm * (self.floor + (1 - self.floor) * cosine)

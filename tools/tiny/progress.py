"""Where a training run stands: its clock, and the running figures of its log (needs torch).

Law: rates depend on wall time alone, apart from a warm-up counted in steps.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tools.tiny.replies import TASKS

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

    def __init__(self) -> None:
        self.replies = np.zeros((len(TASKS), 2))
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
            for task, (good, count) in zip(TASKS, self.replies, strict=True)
            if count
        )
        return f"grounding {grounding:.3f} text {text:.4f} exact: {shares}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A span of wall time with its own warm-up and cosine; times are seconds of `time.time`."""

    begin_s: float
    end_s: float
    peak: float
    floor: float

    def fraction(self) -> float:
        """Share of the stage that is over."""
        return min(1.0, (time.time() - self.begin_s) / max(1.0, self.end_s - self.begin_s))

    def rate(self, step: int) -> float:
        """Learning rate of step `step` at this moment."""
        cosine = 0.5 * (1 + math.cos(math.pi * self.fraction()))
        warm = min(1.0, (step + 1) / WARM_UP_STEPS)
        return self.peak * warm * (self.floor + (1 - self.floor) * cosine)

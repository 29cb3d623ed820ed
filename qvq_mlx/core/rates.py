"""Speeds of one model on this machine: load, encode, prefill."""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.events import Stage

STAGES = (Stage.LOAD, Stage.ENCODE, Stage.PREFILL)
"""The stages before the first token, in order."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Speeds of one model on this machine, per second; 0.0: not known.

    load: bytes of weights; encode: image tokens; prefill: prompt tokens.
    """

    load: float = 0.0
    encode: float = 0.0
    prefill: float = 0.0

    def of(self, stage: Stage) -> float:
        """The rate of a stage, in the unit of its progress."""
        return {Stage.LOAD: self.load, Stage.ENCODE: self.encode, Stage.PREFILL: self.prefill}.get(
            stage, 0.0
        )

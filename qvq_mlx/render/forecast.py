"""Forecast the time until something can be read, from this machine's past and from this run.

Law: of a stage with the amount A, of which the share f is done after e seconds, `A / rate` is
what the past says and `e / f` what this run says; left are `(1 - f) * ((1 - f) * past + f * own)`
seconds, and of the stages to come what the past says. Where the past is silent the present stage
is told alone. The number that is shown is never negative, falls by at most 4 s in a second and
rises by at most one, so it does not jump.
"""

from __future__ import annotations

from collections.abc import Callable

from qvq_mlx.core.events import Progress, Stage
from qvq_mlx.core.plan import STAGES, Rates

_FALL, _RISE = 4.0, 1.0
_TELLING_S = 0.5
_TELLING_SHARE = 0.02


class Forecast:
    """The seconds until the first token.

    `amounts`: what each stage that will come has to do, as far as it is known before; a stage
    that is not in it will not come.
    """

    def __init__(
        self, clock: Callable[[], float], rates: Rates, amounts: dict[Stage, float]
    ) -> None:
        self._clock = clock
        self._rates = rates
        self._amounts = amounts
        self._progress: Progress | None = None
        self._begun = 0.0
        self._begun_done = 0
        self._shown: float | None = None
        self._shown_at = 0.0

    def saw(self, progress: Progress) -> None:
        """Take the progress of a stage."""
        before = self._progress
        if before is None or before.stage is not progress.stage or not before.total:
            if before is not None and before.stage is not progress.stage and not self._whole:
                self._shown = None  # that was of one stage alone
            self._begun, self._begun_done = self._clock(), progress.done
        self._progress = progress

    @property
    def left_s(self) -> float | None:
        """Seconds until the first token; None where nothing can be said, or next to nothing is
        left.
        """
        raw = self._raw()
        if raw is None:
            return None
        now = self._clock()
        if self._shown is None:
            self._shown = raw
        else:
            passed = now - self._shown_at
            lowest, highest = self._shown - _FALL * passed, self._shown + _RISE * passed
            self._shown = max(0.0, min(max(raw, lowest), highest))
        self._shown_at = now
        return self._shown if self._shown >= 0.5 else None

    @property
    def _whole(self) -> bool:
        """True if something is known of every stage that will come."""
        return all(self._rates.of(stage) > 0 for stage in self._amounts)

    def _raw(self) -> float | None:
        progress = self._progress
        if progress is None or progress.stage not in self._amounts:
            return None
        left = self._left_of(progress)
        if left is None or not self._whole:
            return left
        later = STAGES[STAGES.index(progress.stage) + 1 :]
        return left + sum(self._amounts.get(s, 0.0) / self._rates.of(s) for s in later)

    def _left_of(self, progress: Progress) -> float | None:
        """Of the stage that goes on."""
        total = progress.total or self._amounts[progress.stage]
        rate = self._rates.of(progress.stage)
        missing = max(0.0, total - progress.done)
        elapsed = self._clock() - self._begun
        past = missing / rate if rate > 0 and total > 0 else None
        did = progress.done - self._begun_done
        share = min(1.0, did / total) if total > 0 else 0.0
        if did <= 0 or share < _TELLING_SHARE or elapsed < _TELLING_S:
            return None if past is None else max(0.0, past - (elapsed if did <= 0 else 0.0))
        own = elapsed * missing / did
        return own if past is None else (1 - share) * past + share * own

"""True if drafting pays, and how far ahead to draft.

Law: every quantity is in seconds that were measured on this machine with this model
(`Costs`), and the acceptance rate is this run's own. A block of k drafts yields
E(k) = 1 + a + ... + a^k tokens at acceptance rate a, and costs pass(k + 1) + k * draft; k is the
one with the highest E(k) / cost, or 0 where none is LEAST_GAIN times as fast as plain decoding. The
account of what was won and lost is kept; where it is short by more than 1 % of a run of the usual
length, drafting ends.

`Costs` are of another moment, in which the machine may have done other work, and of passes without
what the loop does between them. So a run begins with some plain passes, which say how fast this
machine is now, and each block is entered with the seconds that it took.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mlx.core as mx

from qvq_mlx.core.tokens import Effort
from qvq_mlx.engine.draft import Drafter

MOST_TOKENS = 8
"""A pass over more tokens than these is worth no draft, and recurrent layers keep a state for each
of them."""

MOST_DRAFTS = MOST_TOKENS - 1
"""Beside the pending token."""

HOPE = 0.9
"""The acceptance rate that is expected before any is measured. Hope is cheap: see the account."""

LEAST_GAIN = 1.05
"""Of the speed of plain decoding, what drafting has to promise: costs are no more exact than a
machine that does other work lets them be."""

_EXPECTED_WEIGHT = 4.0  # drafts that the expectation counts as
_MOST_LOST = 0.01  # of a run
_MEMORY = 0.97  # what a verified pass leaves of the weight of those before it
_PLAIN_PASSES = 5  # that are timed before the first draft
_LAPS = 8  # of the last blocks, beside what was known before
_LONGEST_LAP = 3.0  # times what is expected; more is a pause of whoever reads the tokens


@dataclass(frozen=True, slots=True)
class Costs:
    """Costs of a model's passes here, in seconds.

    `plain_s`: one token of plain decoding, the next pass dispatched before this one is read.
    `pass_s[n - 1]`: one pass over n tokens, waited for.
    """

    plain_s: float
    pass_s: tuple[float, ...]

    def times(self, slower: float) -> Costs:
        """The same on a machine that is `slower` times as slow."""
        return Costs(slower * self.plain_s, tuple(slower * each for each in self.pass_s))


@dataclass(frozen=True, slots=True)
class Past:
    """Measured quality of a drafter: the share of its drafts that was right, how many tokens
    a run writes, the seconds that it takes to read the prompt before, and how many times longer
    its blocks took than `Costs` say, against plain decoding in the same run.
    """

    rate: float = HOPE
    tokens: int = 500
    read_s: float = 0.0
    overrun: float = 1.0


NOTHING_KNOWN = Past()


class Speculation:
    """A drafter, and the account of what it is worth. Without a drafter it counts passes."""

    def __init__(
        self,
        drafter: Drafter | None = None,
        costs: Costs | None = None,
        draft_s: float = 0.0,
        always: int = 0,
        past: Past = NOTHING_KNOWN,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`draft_s`: the cost of one drafted token. `always`: draft as many, whatever it costs."""
        self._drafter = drafter
        self._usual_tokens = past.tokens
        self._name = drafter.name if drafter is not None else "none"
        self._calibrated = costs
        self._costs = costs  # at the speed of this run, as soon as that is known
        self._draft_s = draft_s
        self._always = always
        self._accepted_weight = past.rate * _EXPECTED_WEIGHT
        self._tested_weight = _EXPECTED_WEIGHT
        self._balance_s = 0.0
        self._passes = self._drafted = self._accepted = 0
        self._off = ""
        self.tried = False
        """True if anything was asked of the drafter."""
        self._waited = False  # the pass under way was held up to draft for it
        self._after_drafts = False  # so was the one before it
        self._clock = clock
        self._lap_began: float | None = None
        self._plain_s: list[float] = []
        self._known_overrun = past.overrun
        self._overruns: deque[float] = deque(maxlen=_LAPS)
        if drafter is not None and costs is not None and not always:
            self._off = hopeless(costs, draft_s, past)

    @classmethod
    def refused(cls, name: str, reason: str) -> Speculation:
        """None, and which drafter there might have been, and why it is not."""
        speculation = cls()
        speculation._name, speculation._off = name, reason
        return speculation

    @property
    def on(self) -> bool:
        """True if `propose` is worth calling."""
        return self._drafter is not None and not self._off

    @property
    def ready(self) -> bool:
        """True if it is on, and it is known how fast plain decoding is in this run."""
        timed = self._always or self._calibrated is None or len(self._plain_s) > _PLAIN_PASSES
        return self.on and bool(timed)

    @property
    def effort(self) -> Effort:
        """The account so far."""
        return Effort(self._name, self._passes, self._drafted, self._accepted, self._off)

    def propose(self, sequence: Sequence[int], pending: mx.array, room: int) -> mx.array:
        """Drafts (tokens,) to run behind `pending` (1,); at most `room`, possibly none."""
        assert self._drafter is not None
        if not self._after_drafts:
            self._lap_began = None  # a plain pass is under way, and waited for within this lap
        self.tried = self._waited = True
        most = self._always or self._best_length()
        return self._drafter.propose(sequence, pending, min(most, room))

    def judged(self, drafted: int, accepted: int) -> None:
        """Enter a pass that ran `drafted` drafts and kept `accepted` of them."""
        self._passes += 1
        took_s = self._lap_s()
        self._after_drafts, self._waited = self._waited, False
        if not self._after_drafts:
            if took_s is not None and accepted == 0:  # else tokens were forced
                self._time_plain(took_s)
            return
        self._drafted += drafted
        self._accepted += accepted
        if drafted:
            tested = min(accepted + 1, drafted)
            self._accepted_weight = _MEMORY * self._accepted_weight + accepted
            self._tested_weight = _MEMORY * self._tested_weight + tested
        if self._costs is not None and not self._always:
            self._settle(self._costs, drafted, accepted, took_s)

    @property
    def acceptance(self) -> float:
        """The share of tested drafts that were right lately."""
        return self._accepted_weight / self._tested_weight

    @property
    def overrun(self) -> float:
        """How many times longer blocks take in this run than `Costs` say; see `Past`."""
        return statistics.median([self._known_overrun, *self._overruns])

    def _lap_s(self) -> float | None:
        """Seconds since the pass before this one was judged; None where they say nothing."""
        began, self._lap_began = self._lap_began, self._clock()
        return None if began is None else self._lap_began - began

    def _best_length(self) -> int:
        if self._costs is None:
            return MOST_DRAFTS
        return best_length(self._costs, self._draft_s, self.acceptance, self.overrun)

    def _time_plain(self, took_s: float) -> None:
        """Enter a plain pass. As soon as there are enough, costs are at the speed of this run."""
        if self._calibrated is None or len(self._plain_s) > _PLAIN_PASSES:
            return
        self._plain_s.append(took_s)
        if len(self._plain_s) > _PLAIN_PASSES:  # the first one had none under way before it
            slower = statistics.median(self._plain_s[1:]) / self._calibrated.plain_s
            self._costs = self._calibrated.times(slower)
            self._draft_s *= slower

    def _settle(self, costs: Costs, drafted: int, accepted: int, took_s: float | None) -> None:
        expected_s = costs.pass_s[drafted] + drafted * self._draft_s
        over = self.overrun if took_s is None else min(took_s / expected_s, _LONGEST_LAP)
        if took_s is not None and drafted:
            self._overruns.append(over)
        self._balance_s += (accepted + 1) * costs.plain_s - over * expected_s
        tokens = self._passes + self._accepted
        if self._balance_s < -_MOST_LOST * max(tokens, self._usual_tokens) * costs.plain_s:
            self._off = f"it lost time, {self._record()}"
        elif self._best_length() == 0:
            self._off = f"it would lose time, {self._record()}"

    def _record(self) -> str:
        if not self._drafted:
            return f"nothing was drafted in {self._passes} passes"
        return f"{self._accepted} of {self._drafted} drafts were right in {self._passes} passes"


def expected_tokens(acceptance: float, drafts: int) -> float:
    """E(k): tokens that a pass over the pending token and k drafts yields on average."""
    return sum(acceptance**depth for depth in range(drafts + 1))


def best_length(costs: Costs, draft_s: float, acceptance: float, overrun: float = 1.0) -> int:
    """The number of drafts with the most tokens/s; 0 where that is no gain to speak of."""

    def tokens_per_s(drafts: int) -> float:
        if drafts == 0:
            return LEAST_GAIN / costs.plain_s
        spent_s = overrun * (costs.pass_s[drafts] + drafts * draft_s)
        return expected_tokens(acceptance, drafts) / spent_s

    return max(range(len(costs.pass_s)), key=tokens_per_s)


def hopeless(costs: Costs, draft_s: float, past: Past) -> str:
    """Why drafting cannot pay if the run is like those before; empty where it can."""
    drafts = best_length(costs, draft_s, past.rate, past.overrun)
    if drafts == 0:
        two = past.overrun * costs.pass_s[1] / costs.plain_s
        return f"verifying 2 tokens costs {two:.2f} single steps, and {past.rate:.0%} are right"
    block_s = past.overrun * (costs.pass_s[drafts] + drafts * draft_s)
    saved_s = past.tokens * (costs.plain_s - block_s / expected_tokens(past.rate, drafts))
    if saved_s <= past.read_s:
        return f"it reads the prompt for {past.read_s:.2f} s and would save {saved_s:.2f} s"
    return ""

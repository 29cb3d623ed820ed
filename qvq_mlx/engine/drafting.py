"""Choose the drafter of a session by what drafting costs on this machine.

Law: a draft model reads the prompt and the pictures itself, with its own vision encoder and its own
prefix cache, and only where the costs leave hope that it pays. Without a draft model, or where it
is hopeless and the choice is ours, prompt lookup is tried in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Generator

from qvq_mlx.core.events import Progress
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Generation, Prompt
from qvq_mlx.engine.costs import CostBook, measured
from qvq_mlx.engine.draft import DraftModel, PromptLookup
from qvq_mlx.engine.prefill import Parts, Reader
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.speculation import HOPE, Costs, Past, Speculation, hopeless

_ENOUGH_DRAFTS = 16
"""An acceptance rate of fewer is chance."""
_HOPE_A_RUN = 0.01
_FORGOTTEN_A_RUN = 0.98
_UNASKED = 0.8


def worth_loading(book: CostBook, target: str, draft: str, name: str) -> bool:
    """True if the draft model `name` may pay, as far as is known of these two fingerprints.

    Where it may not, hope grows a little.
    """
    costs, draft_costs = book.costs(target), book.costs(draft)
    past = book.past(target, name)
    if costs is None or draft_costs is None or not hopeless(costs, draft_costs.plain_s, past):
        return True
    book.keep_past(target, name, _hopeful(past))
    return False


class Drafts:
    """The choice of a session, and what it rests on."""

    def __init__(
        self,
        drafting: Drafting,
        model: Reader | None = None,
        book: CostBook | None = None,
        always: int = 0,
    ) -> None:
        """`always` > 0: draft as many tokens each time, whatever it costs."""
        self._drafting = drafting
        self._model = model
        self._book = book or CostBook(None)
        self._always = always
        self._lookup = PromptLookup()
        self._read_s = 0.0  # what the draft model took to read the last prompt

    def speculation(
        self, parts: Parts, start: Start, prompt: Prompt, generation: Generation, control: Control
    ) -> Generator[Progress, None, Speculation]:
        """A drafter that is ready to follow `start`, or none; measures costs that are not known."""
        if self._drafting is Drafting.NONE:
            return Speculation()
        target = yield from self._costs(parts, start, control)
        if self._model is not None:
            past = self._book.past(parts.fingerprint, self._model.parts.name)
            speculation = yield from self._by_model(
                self._model, target, past, prompt, generation, control
            )
            if not speculation.on:
                self._book.keep_past(parts.fingerprint, self._model.parts.name, _hopeful(past))
            if speculation.on or self._drafting is Drafting.MODEL:
                return speculation
        self._lookup.restart()
        past = self._book.past(parts.fingerprint, self._lookup.name)
        speculation = Speculation(self._lookup, target, 0.0, self._always, past)
        if not speculation.on:
            self._book.keep_past(parts.fingerprint, self._lookup.name, _hopeful(past))
        return speculation

    def remember(self, parts: Parts, speculation: Speculation, tokens: int) -> None:
        """Keep what a run of so many tokens says of its drafter, for the next one."""
        effort = speculation.effort
        enough = effort.drafted_tokens >= _ENOUGH_DRAFTS or effort.off
        if self._always or not speculation.tried or not enough:
            return
        past = self._book.past(parts.fingerprint, effort.drafter)
        by_model = self._model is not None and effort.drafter == self._model.parts.name
        found = Past(
            # what never drafted anything, and cost the asking, is asked less
            rate=speculation.acceptance if effort.drafted_tokens else _UNASKED * past.rate,
            tokens=max(1, (past.tokens + tokens) // 2),
            read_s=self._read_s if by_model else 0.0,
        )
        self._book.keep_past(parts.fingerprint, effort.drafter, found)

    def _by_model(
        self,
        reader: Reader,
        target: Costs | None,
        past: Past,
        prompt: Prompt,
        generation: Generation,
        control: Control,
    ) -> Generator[Progress, None, Speculation]:
        """The draft model, which has read `prompt`; off where that is already known to be vain."""
        name = reader.parts.name
        known = self._book.costs(reader.parts.fingerprint)
        if not self._always and target is not None and known is not None:
            reason = hopeless(target, known.plain_s, past)
            if reason:
                return Speculation.refused(name, reason)
        began = time.perf_counter()
        start = _returned(reader.read(prompt, control))
        if start is None:
            return Speculation()
        self._read_s = time.perf_counter() - began
        draft = yield from self._costs(reader.parts, start, control)
        sampler = Sampler(generation.sampling, reader.parts.vocabulary.size)
        offset = start.position - (len(start.ids) - 1)
        drafter = DraftModel(name, start.sequence, start.ids[:-1], offset, sampler)
        draft_s = draft.plain_s if draft is not None else 0.0
        return Speculation(drafter, target, draft_s, self._always, past)

    def _costs(
        self, parts: Parts, start: Start, control: Control
    ) -> Generator[Progress, None, Costs | None]:
        """Known, kept or measured now. None where nobody asks, or `control` has no time for it."""
        if self._always:
            return None
        found = self._book.costs(parts.fingerprint)
        if found is None:
            found = yield from measured(start.sequence, start.position, control)
            if found is not None:
                self._book.keep_costs(parts.fingerprint, found)
        return found


def _hopeful(past: Past) -> Past:
    """A little more hope with every run that goes without, so that a drafter is tried again."""
    rate = max(past.rate, min(HOPE, past.rate + _HOPE_A_RUN))
    return Past(rate, past.tokens, past.read_s * _FORGOTTEN_A_RUN)


def _returned(steps: Generator[Progress, None, Start | None]) -> Start | None:
    """Run `steps` to its end and return its value; a draft model's progress is not the user's."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            start: Start | None = stop.value
            return start

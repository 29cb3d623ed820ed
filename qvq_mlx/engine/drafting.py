"""Choose the drafter of a session by what drafting costs on this machine.

Law: a draft model reads the prompt and the pictures itself, with its own vision encoder and its own
prefix cache, and only where the costs leave hope that it pays. Without a draft model, or where it
is hopeless and the choice is ours, the checkpoint's own MTP head is tried in the same way, and then
prompt lookup.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import TYPE_CHECKING

from qvq_mlx.core.events import Progress
from qvq_mlx.core.setup import Drafting, Setup
from qvq_mlx.core.tokens import Control, Generation, Prompt
from qvq_mlx.engine.costs import CostBook, measured
from qvq_mlx.engine.draft import DraftModel, PromptLookup
from qvq_mlx.engine.prefill import Parts, Reader
from qvq_mlx.engine.row import Start
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.speculation import HOPE, Costs, Past, Speculation, hopeless

if TYPE_CHECKING:
    from qvq_mlx.engine.mtp import MTPHead

_MTP = "mtp"
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
        head: MTPHead | None = None,
    ) -> None:
        """`always` > 0: draft as many tokens each time, whatever it costs. `head`: the model's."""
        self._drafting = drafting
        self._model = model
        self._book = book or CostBook(None)
        self._always = always
        self._lookup = PromptLookup()
        self._head = head
        self._loaded = model, head
        self._read_s = 0.0  # what the drafter took to read the last prompt

    def watches(self, parts: Parts) -> bool:
        """True if the hidden states of the next prompt are to be kept for the MTP head."""
        if self._head is None or self._drafting is Drafting.NONE:
            return False
        target, each = self._book.costs(parts.fingerprint), self._book.costs(_head_key(parts))
        if self._always or target is None or each is None:
            return True
        past = self._book.past(parts.fingerprint, _MTP)
        if not hopeless(target, each.plain_s, past):
            return True
        self._book.keep_past(parts.fingerprint, _MTP, _hopeful(past))
        return False

    def under(self, setup: Setup) -> Drafts:
        """Of what is loaded, the drafter that `setup` asks for; the rest waits in memory."""
        model, head = self._loaded
        found = Drafts(
            setup.drafting,
            model if setup.drafting in (Drafting.AUTO, Drafting.MODEL) else None,
            CostBook(setup.cache_folder),
            setup.draft_tokens,
            head if setup.drafting in (Drafting.AUTO, Drafting.MTP) else None,
        )
        found._loaded = self._loaded
        return found

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
        if self._head is not None:
            speculation = self._by_head(parts, start, target, generation)
            if speculation.on or self._drafting is Drafting.MTP:
                return speculation
        start.sequence.trace = None  # nobody follows it
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
        found = Past(
            # what never drafted anything, and cost the asking, is asked less
            rate=speculation.acceptance if effort.drafted_tokens else _UNASKED * past.rate,
            tokens=max(1, (past.tokens + tokens) // 2),
            read_s=0.0 if effort.drafter == self._lookup.name else self._read_s,
            overrun=(past.overrun + speculation.overrun) / 2,
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

    def _by_head(
        self,
        parts: Parts,
        start: Start,
        target: Costs | None,
        generation: Generation,
    ) -> Speculation:
        """The MTP head, which has read the end of the prompt; off where it is known to be vain."""
        from qvq_mlx.engine.mtp import MTPDrafter  # few checkpoints have one

        assert self._head is not None
        past, key = self._book.past(parts.fingerprint, _MTP), _head_key(parts)
        each = self._book.costs(key)
        if start.sequence.trace is None:  # see `watches`
            reason = hopeless(target, each.plain_s, past) if target and each else ""
            return Speculation.refused(_MTP, reason)
        sampler = Sampler(generation.sampling, parts.vocabulary.size)
        drafter = MTPDrafter(self._head, start, sampler)
        if each is None and not self._always:
            if target is None:  # `control` had no time for it
                return Speculation()
            each_s = drafter.measured_s()
            each = Costs(each_s, (each_s,) * len(target.pass_s))
            self._book.keep_costs(key, each)
        speculation = Speculation(
            drafter, target, each.plain_s if each else 0.0, self._always, past
        )
        if speculation.on:
            began = time.perf_counter()
            drafter.read()
            self._read_s = time.perf_counter() - began
        else:
            self._book.keep_past(parts.fingerprint, _MTP, _hopeful(past))
        return speculation

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


def _head_key(parts: Parts) -> str:
    """The fingerprint under which the costs of a model's head are kept."""
    return f"{parts.fingerprint}-{_MTP}"


def _hopeful(past: Past) -> Past:
    """A little more hope with every run that goes without, so that a drafter is tried again."""
    rate = max(past.rate, min(HOPE, past.rate + _HOPE_A_RUN))
    read_s = past.read_s * _FORGOTTEN_A_RUN
    return Past(rate, past.tokens, read_s, max(1.0, past.overrun * _FORGOTTEN_A_RUN))


def _returned(steps: Generator[Progress, None, Start | None]) -> Start | None:
    """Run `steps` to its end and return its value; a draft model's progress is not the user's."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            start: Start | None = stop.value
            return start

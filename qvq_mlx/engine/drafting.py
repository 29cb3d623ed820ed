"""Who drafts for a session, decided by what drafting costs on this machine.

Law: a draft model reads the prompt and the pictures itself, with its own vision encoder and its own
prefix cache, and only where the costs leave hope that it pays. Without a draft model, or where it
is hopeless and the choice is ours, prompt lookup is tried in the same way.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from qvq_mlx.core.events import Progress
from qvq_mlx.core.setup import Drafting
from qvq_mlx.core.tokens import Control, Generation, Prompt
from qvq_mlx.engine import costs
from qvq_mlx.engine.decode import Start
from qvq_mlx.engine.draft import DraftModel, PromptLookup
from qvq_mlx.engine.prefill import Parts, Reader
from qvq_mlx.engine.sample import Sampler
from qvq_mlx.engine.speculation import HOPE, Costs, Speculation, hopeless

_ENOUGH_DRAFTS = 16
"""An acceptance rate of fewer is chance."""
_HOPE_A_RUN = 0.01


class Drafts:
    """The choice of a session, and the costs it rests on."""

    def __init__(
        self,
        drafting: Drafting,
        model: Reader | None = None,
        costs_folder: Path | None = None,
        always: int = 0,
    ) -> None:
        """`always` > 0: draft as many tokens each time, whatever it costs."""
        self._drafting = drafting
        self._model = model
        self._folder = costs_folder
        self._always = always
        self._known: dict[str, Costs] = {}
        self._acceptance: dict[str, float] = {}
        self._lookup = PromptLookup()

    def speculation(
        self, parts: Parts, start: Start, prompt: Prompt, generation: Generation, control: Control
    ) -> Generator[Progress, None, Speculation]:
        """A drafter that is ready to follow `start`, or none; measures costs that are not known."""
        if self._drafting is Drafting.NONE:
            return Speculation()
        target = yield from self._costs(parts, start, control)
        if self._model is not None:
            expected = self._expected(parts, self._model.parts.name)
            speculation = yield from self._by_model(
                self._model, target, expected, prompt, generation, control
            )
            if speculation.on or self._drafting is Drafting.MODEL:
                return speculation
        self._lookup.restart()
        expected = self._expected(parts, self._lookup.name)
        return Speculation(self._lookup, target, 0.0, self._always, expected)

    def remember(self, parts: Parts, speculation: Speculation) -> None:
        """Keep the acceptance rate of a run for the next one to expect."""
        effort = speculation.effort
        if effort.drafter == "none" or self._always:
            return
        if effort.drafted_tokens >= _ENOUGH_DRAFTS:
            found = speculation.acceptance
        elif effort.off and not effort.drafted_tokens:
            # given up before it began: hope grows again, so that it is tried now and then
            found = min(HOPE, self._expected(parts, effort.drafter) + _HOPE_A_RUN)
        else:
            return
        self._acceptance[effort.drafter] = found
        costs.store_acceptance(found, self._folder, parts.fingerprint, effort.drafter)

    def _by_model(
        self,
        reader: Reader,
        target: Costs | None,
        expected: float,
        prompt: Prompt,
        generation: Generation,
        control: Control,
    ) -> Generator[Progress, None, Speculation]:
        """The draft model, which has read `prompt`; off where that is already known to be vain."""
        name = reader.parts.name
        known = self._stored(reader.parts)
        if not self._always and target is not None and known is not None:
            reason = hopeless(target, known.plain_s, expected)
            if reason:
                return Speculation.refused(name, reason)
        start = _returned(reader.read(prompt, control))
        if start is None:
            return Speculation()
        draft = yield from self._costs(reader.parts, start, control)
        sampler = Sampler(generation.sampling, reader.parts.vocabulary.size)
        offset = start.position - (len(start.ids) - 1)
        drafter = DraftModel(name, start.lane, start.ids[:-1], offset, sampler)
        draft_s = draft.plain_s if draft is not None else 0.0
        return Speculation(drafter, target, draft_s, self._always, expected)

    def _costs(
        self, parts: Parts, start: Start, control: Control
    ) -> Generator[Progress, None, Costs | None]:
        """Known, kept or measured now. None where nobody asks, or `control` has no time for it."""
        if self._always:
            return None
        found = self._stored(parts)
        if found is None:
            found = yield from costs.measured(start.lane, start.position, control)
            if found is not None:
                costs.store(found, self._folder, parts.fingerprint)
        if found is not None:
            self._known[parts.fingerprint] = found
        return found

    def _expected(self, parts: Parts, drafter: str) -> float:
        known = self._acceptance.get(drafter)
        if known is None:
            known = costs.stored_acceptance(self._folder, parts.fingerprint, drafter)
        return HOPE if known is None else known

    def _stored(self, parts: Parts) -> Costs | None:
        known = self._known.get(parts.fingerprint)
        return known or costs.stored(self._folder, parts.fingerprint)


def _returned(steps: Generator[Progress, None, Start | None]) -> Start | None:
    """What `steps` returns; a draft model's progress is not the user's."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            start: Start | None = stop.value
            return start

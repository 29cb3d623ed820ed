"""A conversation: what was asked, answered and shown so far, and the request that comes next.

Law: only a question that came to a whole answer becomes a round. The bytes of what is shown stay in
memory, so a file that changes meanwhile, or is gone, is still what was talked about. What a person
sets holds from the next question on, for pictures that were shown before too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.events import Done, Event, Transcript
from qvq_mlx.core.image_options import ImageSize
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.remedies import Typed
from qvq_mlx.core.request import Budget, Origin, Request
from qvq_mlx.core.rounds import Round, Shown, Source
from qvq_mlx.render.sink import FileSink
from qvq_mlx.run.plan import default_sampling
from qvq_mlx.run.vote import TEMPERATURE


@dataclass(frozen=True, slots=True)
class _Said:
    """A round as `/save` tells it."""

    question: str
    answer: str
    model: str
    pictures: tuple[str, ...]


class Ear:
    """Listens to one run, as a renderer does, and draws nothing."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.done: Done | None = None
        self._transcript = Transcript()

    @property
    def answer(self) -> str | None:
        """The whole answer; None where there is none."""
        whole = self.done is not None and self.done.complete
        return self._transcript.answer.strip("\n") if whole else None

    def begin(self, plan: Plan) -> None:
        """What is asked."""
        self.plan = plan

    def feed(self, event: Event) -> None:
        """What happens."""
        self._transcript.add(event)
        if isinstance(event, Done):
            self.done = event

    def abort(self) -> None:
        """Nothing to put back."""


class Conversation:
    """The state of a chat. `base` says what holds for every question: model, budget, options."""

    def __init__(self, base: Request) -> None:
        self._base = base
        self._question: str | None = None
        self._answered_as: Request | None = None  # the base that the last answer was given to
        self._again = 0
        self._replacing = False  # the answer that comes takes the last one's place
        self._seen_pictures = 0
        self._rounds: list[Round] = []
        self._said: list[_Said] = []
        self._shown: list[Shown] = []
        self._follows: str | None = None
        self._before: str | None = None  # what the last round followed
        self._written: set[Path] = set()

    @property
    def model(self) -> str:
        """As it is asked for."""
        return self._base.model

    @property
    def budget(self) -> str:
        """In words."""
        found = self._base.limits.budget
        if found is None:
            return "the model's own"
        return "none" if found.tokens is None else f"{found.tokens:,} tokens"

    @property
    def detail(self) -> str:
        """As it is typed."""
        return str(self._base.options_for(0).detail)

    def show(self, name: str, image_sources: images.ImageSources, card: ModelCard) -> None:
        """An image, with the next question. Raises an InputError, or UsageError where `card` is of
        a model that reads text only.
        """
        if not card.sees:
            raise UsageError(f"{card.name} reads text only", Typed("/model NAME"))
        options = self._base.options_for(0)
        for found in images.expanded(name, image_sources):
            data = images.bytes_of(found, image_sources)
            # better now than later
            images.pictures_in(found, data, card.vision, image_sources, options)
            digest = hashlib.sha256(data).hexdigest()
            self._shown.append(Shown(Source(found, options, digest, 0), data))

    def use(self, model: str) -> None:
        """Ask `model` from now on."""
        self._base = replace(self._base, model=model)

    def bound(self, budget: Budget) -> None:
        """Let it think so long."""
        limits = replace(self._base.limits, budget=budget, usual_budget=False)
        self._base = replace(self._base, limits=limits)

    def read_at(self, detail: ImageSize) -> None:
        """Look at every picture with so much detail."""
        options = replace(self._base.options_for(0), detail=detail)
        self._base = replace(self._base, image_options=(options,))
        self._shown = [
            replace(one, source=replace(one.source, options=options)) for one in self._shown
        ]
        self._seen_pictures = 0  # they are read anew, and that is worth a receipt

    def request(self, question: str) -> Request:
        """The next question."""
        self._question, self._again, self._replacing = question, 0, False
        return self._request(question)

    def retry(self, card: ModelCard) -> Request:
        """The last question again; where it was answered under the same settings, drawn anew.

        Raises UsageError where nothing was asked yet.
        """
        if self._question is None:
            raise UsageError("nothing was asked yet", Typed("/help"))
        self._again = self._again + 1 if self._answered_as == self._base else 0
        self._replacing = self._answered_as is not None
        request = self._request(self._question)
        if not self._again:
            return request
        sampling = request.sampling
        default = default_sampling(request, card)
        seed = (sampling.seed or default.seed) + self._again
        temperature = sampling.temperature
        if temperature is None and not default.temperature:
            temperature = TEMPERATURE  # the likeliest tokens would be the same ones again
        return replace(request, sampling=replace(sampling, seed=seed, temperature=temperature))

    def heard(self, ear: Ear, run_id: str | None) -> None:
        """A run has ended; `run_id` is what it was saved as."""
        plan = ear.plan
        if plan is None:  # it never began
            return
        self._seen_pictures = len(plan.pictures)
        self._shown = [
            replace(one, source=replace(one.source, pictures=source.pictures))
            for one, source in zip(self._shown, plan.sources, strict=True)
        ]
        answer = ear.answer
        if answer is None:
            if not self._replacing:
                self._answered_as = None
            return
        if self._replacing:
            self._rounds.pop()
            self._said.pop()
        else:
            self._before = self._follows
        new = len(plan.pictures) - sum(past.pictures for past in self._rounds)
        names = [picture.name for picture in plan.pictures][len(plan.pictures) - new :]
        question = plan.request.question
        self._rounds.append(Round(question, answer, new))
        self._said.append(_Said(question, answer, plan.resolved.card.name, tuple(names)))
        self._follows = run_id
        self._answered_as = self._base

    def clear(self) -> None:
        """Begin anew; what was set stays."""
        self._rounds, self._said, self._shown = [], [], []
        self._question = self._follows = self._before = self._answered_as = None
        self._again = self._seen_pictures = 0
        self._replacing = False

    def save(self, path: Path) -> None:
        """The conversation as Markdown. Raises UsageError, or OutputError where it fails."""
        if not self._said:
            raise UsageError("nothing was answered yet", Typed("/help"))
        path = path.expanduser().absolute()
        if path.exists() and path not in self._written:
            raise UsageError(f"{path} is there already, and is not replaced", Typed("/save OTHER"))
        sink = FileSink(path)
        sink.open()
        try:
            sink.write("\n".join(self._markdown()))
            sink.finish()
        finally:
            sink.discard()
        self._written.add(path)

    def _request(self, question: str) -> Request:
        return replace(
            self._base,
            question=question,
            rounds=tuple(self._rounds[:-1] if self._replacing else self._rounds),
            earlier=tuple(self._shown),
            origin=Origin(
                follows=self._before if self._replacing else self._follows,
                seen_pictures=self._seen_pictures,
            ),
        )

    def _markdown(self) -> Iterator[str]:
        for said in self._said:
            yield "## " + " ".join(said.question.split())
            yield ""
            if "\n" in said.question.strip():
                yield from (f"> {line}".rstrip() for line in said.question.strip().splitlines())
                yield ""
            if said.pictures:
                yield "*" + ", ".join(PurePath(name).name for name in said.pictures) + "*"
                yield ""
            yield said.answer
            yield ""
            yield f"*{said.model}*"
            yield ""

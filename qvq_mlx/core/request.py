"""The question, and how to show what comes of it: all that `cli` hands to the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.rounds import Round, Shown

if TYPE_CHECKING:  # most questions are answered here
    from qvq_mlx.core.host import Host


class ThinkingView(StrEnum):
    """Amounts of thinking that a person sees."""

    TAIL = "tail"
    """The last lines, live; one line when the answer begins."""
    FULL = "full"
    """All of it, kept in the scrollback."""
    LINE = "line"
    """Time and token count only."""
    NONE = "none"
    """Nothing of it, not even that it happened."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling of the next token. temperature 0: always the likeliest; `seed` keys the noise.

    top_p 1, top_k 0 and min_p 0 switch the respective filter off, repetition_penalty 1 and
    presence_penalty 0 the respective penalty.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0

    @property
    def penalises(self) -> bool:
        """True if a token that was written costs something."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0


@dataclass(frozen=True, slots=True)
class SamplingOverrides:
    """Sampling values that the user set; None leaves the card's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None

    def applied_to(self, default: Sampling) -> Sampling:
        """The card's sampling with the user's values in place."""
        return Sampling(
            temperature=default.temperature if self.temperature is None else self.temperature,
            top_p=default.top_p if self.top_p is None else self.top_p,
            top_k=default.top_k if self.top_k is None else self.top_k,
            min_p=default.min_p if self.min_p is None else self.min_p,
            seed=default.seed if self.seed is None else self.seed,
            repetition_penalty=default.repetition_penalty
            if self.repetition_penalty is None
            else self.repetition_penalty,
            presence_penalty=default.presence_penalty
            if self.presence_penalty is None
            else self.presence_penalty,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """The most tokens of thinking; None: no bound."""

    tokens: int | None


class Think(StrEnum):
    """The choice to think before the answer, for a model that can do both."""

    ON = "on"
    OFF = "off"
    """The chat template writes an empty thinking block, or none."""


class Placement(StrEnum):
    """The place of the pictures in the prompt."""

    NUMBERED = "numbered"
    """Before the question, `Picture 1: ` in front of each where there are several."""
    PLAIN = "plain"
    """Before the question, without numbers."""
    INLINE = "inline"
    """At the first `<image n>` of the question, n counted from 1; else before the question."""


@dataclass(frozen=True, slots=True)
class PromptOptions:
    """Options of the prompt besides the question. `system` None: the card's; '' sends none.

    `allow_text_only`: a model that sees is asked without an image where none is given.
    """

    system: str | None = None
    placement: Placement = Placement.NUMBERED
    allow_text_only: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what the model writes. None leaves the card's default.

    `max_tokens` are thinking and answer together. `answer_tokens` may follow once the thinking
    `budget` is spent. `think` None: as the chat template does by itself. A `usual_budget` is the
    user's own default: it gives way where a budget that was typed would be refused.
    """

    budget: Budget | None = None
    answer_tokens: int = 1024
    max_tokens: int | None = None
    think: Think | None = None
    usual_budget: bool = False


@dataclass(frozen=True, slots=True)
class Method:
    """The method of answering: votes, double check, schema, language, closer looks, cache.

    `votes` samples are drawn and put to the vote; `double_check` has the model look at the picture
    once more. `schema` is the text of a JSON schema, '' for none; `lang` names the language that
    the answer is held to. The model may `look` closer at as many regions of its pictures; None: at
    some, where a picture was shrunk a lot and the model can point. From the end of the prompt on
    keys and values have `kv_bits` bits, 8 or 4; None: as many as the model computes with.
    """

    votes: int = 1
    double_check: bool = False
    schema: str = ""
    lang: str = "auto"
    look: int | None = None
    kv_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The policy of a run on this machine. Law: nothing in here can change the text.

    `draft` is auto, none, lookup, mtp, or a draft model's name. `use_cache` False neither reads nor
    keeps what earlier runs computed. `force` runs what does not fit in memory; `wait` False fails
    where another process has a big model loaded. `offline` fetches no picture. `save` False keeps
    nothing of the run, whatever the settings say: no history, and no image prefix. `server` False
    loads the model here, whoever has it loaded already. A batch answers
    `in_flight` questions at a time; None: as many as fit in memory and make it faster. The `host`
    is asked instead of a model here; None: none is.
    """

    draft: str = "auto"
    use_cache: bool = True
    force: bool = False
    wait: bool = True
    offline: bool = False
    save: bool = True
    server: bool = True
    in_flight: int | None = 1
    host: Host | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The origin of a request, for receipts and the record. Law: it cannot change the text.

    It `follows` the run of that id. The receipts of the first `seen_pictures` were shown before.
    `piped_characters` of the question's end came through stdin.
    """

    follows: str | None = None
    seen_pictures: int = 0
    piped_characters: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One question about some images, as it was asked: no name resolved, no default filled in.

    `images` are sources in the order of the prompt: paths, patterns, `-`, `clip`, `screen`, and
    addresses. `image_options` say how they are read, one after the other. `model` is a card's name
    or alias, a folder, or a repository id.

    A follow-up brings along the earlier `rounds`, oldest first, and in `earlier` what they were
    about; `images` are then those that are new.

    Law: everything but `policy` and `origin` bears on the text.
    """

    question: str
    images: tuple[str, ...]
    model: str
    image_options: tuple[ImageOptions, ...] = (ImageOptions(),)
    rounds: tuple[Round, ...] = ()
    earlier: tuple[Shown, ...] = ()
    prompt: PromptOptions = PromptOptions()
    limits: Limits = Limits()
    sampling: SamplingOverrides = SamplingOverrides()
    method: Method = Method()
    policy: Policy = Policy()
    origin: Origin = Origin()

    def options_for(self, index: int) -> ImageOptions:
        """Return the options of image `index`; the last ones serve all further images."""
        return self.image_options[min(index, len(self.image_options) - 1)]


class OutputForm(StrEnum):
    """Forms of output on stdout or in the file of `-o`."""

    TEXT = "text"
    """The answer and a newline."""
    JSON = "json"
    """One object at the end."""
    JSONL = "jsonl"
    """One object per event, as it happens."""
    BOXES = "boxes"
    """One object at the end: what the answer points at, in the pictures' own pixels."""


@dataclass(frozen=True, slots=True)
class Output:
    """Options of showing a run. `view` None: the user did not say (a tail where a person watches).

    `boxed_only`: the last boxed value alone where there is one. `file`: instead of stdout.
    `annotate`: a picture to write, with what the answer points at; `show`: the terminal shows it.
    """

    form: OutputForm = OutputForm.TEXT
    view: ThinkingView | None = None
    boxed_only: bool = False
    file: Path | None = None
    verbose: bool = False
    quiet: bool = False
    annotate: Path | None = None
    show: bool = False

    @property
    def needs_originals(self) -> bool:
        """True if the pictures are looked at again when the answer stands."""
        return self.annotate is not None or self.show

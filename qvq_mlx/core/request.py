"""The question, and how to show what comes of it: all that `cli` hands to the rest."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from qvq_mlx.core.image_options import ImageOptions
from qvq_mlx.core.rounds import Round, Shown


class ThinkingView(StrEnum):
    """How much of the thinking a person sees."""

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
    """How the next token is drawn. temperature 0: always the likeliest; `seed` keys the noise.

    top_p 1, top_k 0 and min_p 0 switch the respective filter off.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class SamplingOverrides:
    """What the user set; None leaves the card's default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None

    def applied_to(self, default: Sampling) -> Sampling:
        """The card's sampling with the user's values in place."""
        return Sampling(
            temperature=default.temperature if self.temperature is None else self.temperature,
            top_p=default.top_p if self.top_p is None else self.top_p,
            top_k=default.top_k if self.top_k is None else self.top_k,
            min_p=default.min_p if self.min_p is None else self.min_p,
            seed=default.seed if self.seed is None else self.seed,
        )


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens the thinking may take; None: as many as it takes."""

    tokens: int | None


@dataclass(frozen=True, slots=True)
class Request:
    """One question about some images.

    `images` are sources in the order of the prompt: paths, patterns, `-`, `clip`, `screen`, and
    addresses, which are fetched unless `offline`. `model` is a card's
    name or alias, a folder, or a repository id. None leaves the card's default. `lang` names
    the language that the answer is held to; `schema` is the text of a JSON schema. `draft` is auto,
    none, lookup, or a draft model's name; `use_cache` False neither reads nor keeps what earlier
    runs computed. `force` runs what does not fit in memory; `wait` False fails where another
    process has a big model loaded. `answer_tokens` may follow once the budget is spent. `votes` is
    how many samples are drawn and put to the vote; `verify` looks at the picture once more.
    `looks` say how the images are read, one after the other. `piped_characters` of the question's
    end came through stdin.

    A follow-up brings along the earlier `rounds`, oldest first, and in `earlier` what they were
    about; `images` are then those that are new. It `follows` the run of that id. The receipts of
    the first `seen_pictures` were shown before.
    """

    question: str
    images: tuple[str, ...]
    model: str
    system: str | None = None
    max_tokens: int | None = None
    sampling: SamplingOverrides = SamplingOverrides()
    lang: str = "auto"
    schema: str = ""
    draft: str = "auto"
    use_cache: bool = True
    force: bool = False
    wait: bool = True
    budget: Budget | None = None
    answer_tokens: int = 1024
    votes: int = 1
    verify: bool = False
    looks: tuple[ImageOptions, ...] = (ImageOptions(),)
    rounds: tuple[Round, ...] = ()
    earlier: tuple[Shown, ...] = ()
    follows: str | None = None
    seen_pictures: int = 0
    piped_characters: int = 0
    offline: bool = False

    def look_at(self, index: int) -> ImageOptions:
        """How image `index` is read; where there are fewer looks than images, the last serves."""
        return self.looks[min(index, len(self.looks) - 1)]


class OutputForm(StrEnum):
    """What stdout (or the file of `-o`) gets."""

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
    """How the run is shown. `view` None: the user did not say (a tail where a person watches).

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
        """Whether the pictures are looked at again when the answer stands."""
        return self.annotate is not None or self.show

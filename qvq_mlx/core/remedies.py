"""Remedies and settings that an error names, as values.

Law: nothing here is a command line. A front end spells a `Field` in its own words (an option, a
key of a JSON body) and a `Remedy` as something its user can do (a command, a request), and quotes
each word that came from outside. A remedy holds such words as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol


class Field(StrEnum):
    """A setting that a user can give. The value is its neutral name."""

    ANNOTATE = "annotate"
    ANSWER_TOKENS = "answer_tokens"
    BACKGROUND = "background"
    BOXES = "boxes"
    BUDGET = "budget"
    CHIP = "chip"
    CROP = "crop"
    CSV = "csv"
    DETAIL = "detail"
    DOUBLE_CHECK = "double_check"
    DRAFT = "draft"
    FORCE = "force"
    FPS = "fps"
    FRAMES = "frames"
    HOST = "host"
    HOSTS = "hosts"
    JSONL = "jsonl"
    KEEP = "keep"
    KV_BITS = "kv_bits"
    LANG = "lang"
    LOOK = "look"
    MAX_TOKENS = "max_tokens"
    MEMORY = "memory"
    MINUTES = "minutes"
    MIN_P = "min_p"
    MODEL = "model"
    NO_CACHE = "no_cache"
    NO_SERVER = "no_server"
    NO_WAIT = "no_wait"
    OFFLINE = "offline"
    OUTPUT = "output"
    PAGE = "page"
    PARALLEL = "parallel"
    PENALTY = "penalty"
    PORT = "port"
    QUESTION = "question"
    RETRY_ERRORS = "retry_errors"
    ROUNDS = "rounds"
    SCHEMA = "schema"
    SEED = "seed"
    SHOW = "show"
    SPAN = "span"
    SYSTEM = "system"
    TEMPERATURE = "temperature"
    THINK = "think"
    THINKING = "thinking"
    TOP_K = "top_k"
    TOP_P = "top_p"
    VOTE = "vote"


Message = str | tuple[str, ...]
"""One sentence. In a tuple each `Field` stands for its name, which the front end spells."""

Settings = tuple[tuple[Field, str], ...]
"""Fields with the value to give each; '' for a field that takes none."""


def parts_of(message: Message) -> tuple[str, ...]:
    """The parts of a message, one where it is a plain text."""
    return (message,) if isinstance(message, str) else message


@dataclass(frozen=True, slots=True)
class RunProgram:
    """Run another program, such as `df -h`. `words` are the program and its arguments."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a question about these images, with these settings.

    `images` are sources as a request names them; the words IMAGE and VIDEO stand for one that the
    user has. `stdin` is a file to pipe in, `piped` are programs that do it.
    """

    images: tuple[str, ...] = ("IMAGE",)
    settings: Settings = ()
    stdin: str = ""
    piped: tuple[RunProgram, ...] = ()


@dataclass(frozen=True, slots=True)
class AskAgain:
    """Ask the same thing again, with these settings changed."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class AskFor:
    """Ask about the same images with this question instead."""

    question: str


@dataclass(frozen=True, slots=True)
class AskMany:
    """Ask about many images in a batch."""


@dataclass(frozen=True, slots=True)
class BatchAgain:
    """Run the same batch again and write the records to another file, as a stream if `piped`."""

    output: str
    piped: bool = False


@dataclass(frozen=True, slots=True)
class PullModel:
    """Download a model, or the rest of it."""

    name: str


@dataclass(frozen=True, slots=True)
class PullDataSet:
    """Download a benchmark's data set, or the rest of it."""

    benchmark: str


@dataclass(frozen=True, slots=True)
class EvaluateModel:
    """Measure a model on a benchmark."""

    benchmark: str


@dataclass(frozen=True, slots=True)
class ForgetSetting:
    """Remove a key from the config file."""

    key: str


@dataclass(frozen=True, slots=True)
class VerifyModel:
    """Compare a model's files with their hashes."""

    name: str


@dataclass(frozen=True, slots=True)
class EstimateModel:
    """Estimate whether a model fits in memory, with these settings."""

    name: str
    settings: Settings = ()


@dataclass(frozen=True, slots=True)
class Typed:
    """A line that the front end which raises the error spelt itself, quoted already."""

    line: str


class Show(Enum):
    """Look at what is there."""

    MODELS = auto()
    DOWNLOADED_MODELS = auto()
    RUNS = auto()
    ALL_RUNS = auto()
    SERVERS = auto()
    SETTINGS = auto()
    SOCKETS = auto()
    LAST_THINKING = auto()
    TRACEBACK = auto()
    ASK_HELP = auto()
    BATCH_HELP = auto()
    CONVERT_HELP = auto()


Remedy = (
    RunProgram
    | Ask
    | AskAgain
    | AskFor
    | AskMany
    | BatchAgain
    | PullModel
    | PullDataSet
    | EvaluateModel
    | ForgetSetting
    | VerifyModel
    | EstimateModel
    | Typed
    | Show
)
"""What to do next."""


class Spelling(Protocol):
    """Words of a front end for fields and remedies."""

    def sentence(self, message: Message) -> str:
        """`message` with each field under the name that the user knows it by."""

    def remedy(self, remedy: Remedy | None) -> str:
        """Return a remedy on one line; '' for None."""

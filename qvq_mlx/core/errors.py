"""Every way to fail, as one tree of exceptions.

Law: an error carries facts with numbers (`message`), one thing to do next (`remedy`), a stable
`code` that scripts may key on, and the exit code of the process. It is raised where the fact is
known and speaks no command line: fields and remedies are values, which a front end spells. It is
caught once, in `cli.main`, and printed there; nothing else prints it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.remedies import Message, Remedy


class ExitCode(IntEnum):
    """Exit codes of the process."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    NO_ANSWER = 3
    NO_MODEL = 4
    NO_MEMORY = 5
    BAD_INPUT = 6
    BAD_SCHEMA = 7
    TRY_AGAIN = 75
    HUNG_UP = 129
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143

    @property
    def meaning(self) -> Message:
        """One line for the manuals."""
        return _meanings()[self]


def _meanings() -> dict[ExitCode, Message]:
    from qvq_mlx.core.remedies import Field  # here, so that a run without an error is spared it

    return {
        ExitCode.OK: "an answer was produced",
        ExitCode.INTERNAL: "internal error (a bug; `QVQ_DEBUG=1` shows the traceback)",
        ExitCode.USAGE: "usage: the command line asks for what does not exist or clashes",
        ExitCode.NO_ANSWER: "no final answer: length or a loop ended it; what there is, is saved",
        ExitCode.NO_MODEL: "the model is not available: unknown name, not on disk, incomplete",
        ExitCode.NO_MEMORY: (
            "the model does not fit in memory, or another one is loaded (`",
            Field.NO_WAIT,
            "`)",
        ),
        ExitCode.BAD_INPUT: "an input cannot be read",
        ExitCode.BAD_SCHEMA: ("there is no answer that satisfies `", Field.SCHEMA, "`"),
        ExitCode.TRY_AGAIN: "temporary network failure; run again to resume",
        ExitCode.HUNG_UP: "the terminal went away (SIGHUP); what there is, is saved",
        ExitCode.INTERRUPTED: "interrupted; what there is, is saved",
        ExitCode.BROKEN_PIPE: "whoever read stdout went away",
        ExitCode.TERMINATED: "ended by SIGTERM; what there is, is saved",
    }


class QvqError(Exception):
    """The root: a failure that the user can understand and act on.

    `parts` state facts in one line, each `Field` in them is spelled by the front end; `message` has
    them with neutral names. `remedy` is one thing to do next, None where nothing helps.
    """

    exit_code = ExitCode.INTERNAL
    code = "internal"

    def __init__(self, message: Message, remedy: Remedy | None = None) -> None:
        self.parts: tuple[str, ...] = (message,) if isinstance(message, str) else message
        self.remedy = remedy
        self.message = "".join(self.parts)
        super().__init__(self.message)


class UsageError(QvqError):
    """The command line contradicts itself or lacks something."""

    exit_code = ExitCode.USAGE
    code = "usage"

    @classmethod
    def excluding(cls, one: Message, other: Message, why: str = "") -> UsageError:
        """Two settings of a question that cannot both be given."""
        from qvq_mlx.core.remedies import Show, parts_of

        reason = f": {why}" if why else ""
        return cls(
            (*parts_of(one), " and ", *parts_of(other), f" exclude each other{reason}"),
            Show.ASK_HELP,
        )


class NoVideoError(UsageError):
    """A video for a model that takes pictures, or text, only."""

    code = "no-video"


class NoServerError(UsageError):
    """No server of this user's runs that would be the one that is named."""

    code = "no-server"


class ConfigError(UsageError):
    """The config file or a QVQ_ variable holds a value that is not allowed."""

    code = "config"


class ModelError(QvqError):
    """The model cannot be used."""

    exit_code = ExitCode.NO_MODEL
    code = "model"


class UnknownModelError(ModelError):
    """No card, folder or repository of that name."""

    code = "model-unknown"


class ModelNotOnDiskError(ModelError):
    """The model is known, and its weights are not on this disk."""

    code = "model-not-on-disk"


class BrokenModelError(ModelError):
    """The folder of weights lacks a file, or a file is damaged."""

    code = "model-broken"


class UnsupportedModelError(ModelError):
    """The weights are of an architecture that this version does not run."""

    code = "model-unsupported"


class DoesNotFitError(QvqError):
    """The model would need more memory than the GPU may use."""

    exit_code = ExitCode.NO_MEMORY
    code = "does-not-fit"


class BigModelBusyError(QvqError):
    """Another process has a big model loaded, and the user does not want to wait."""

    exit_code = ExitCode.NO_MEMORY
    code = "another-qvq"


class AccessError(ModelError):
    """The server has the model, or will not say, and does not give it to us."""

    code = "model-access"


class GatedError(AccessError):
    """The repository is private, or its page asks who you are: a token may help."""

    code = "model-gated"


class LicenceError(ModelError):
    """The licence has duties, and nobody has accepted them."""

    code = "licence"


class DamagedError(ModelError):
    """Bytes are not what their hash says, after several tries or on this disk."""

    code = "model-damaged"


class DiskFullError(ModelError):
    """The disk has no room for what should be written."""

    code = "disk-full"


class ArchiveError(QvqError):
    """A file of `qvq export` cannot be written, or one for `qvq import` is not believed."""

    exit_code = ExitCode.BAD_INPUT
    code = "archive"


class NetworkError(QvqError):
    """The network or the server failed; what came is kept, and running it again goes on."""

    exit_code = ExitCode.TRY_AGAIN
    code = "network"


class ServerGoneError(QvqError):
    """The server that lent its model ended before the answer did; asked again, qvq needs none."""

    exit_code = ExitCode.TRY_AGAIN
    code = "server-gone"


class HostError(ModelError):
    """A host answers, and not as a server of a model that may be asked does."""

    code = "host"


class HostGoneError(QvqError):
    """Another machine that is needed for the answer is not reached, or ended before it did."""

    exit_code = ExitCode.TRY_AGAIN
    code = "host-gone"


class BusyError(QvqError):
    """Another process is at work on the same files."""

    exit_code = ExitCode.TRY_AGAIN
    code = "busy"


class OverloadedError(QvqError):
    """Too many requests wait for the loaded model. A place may be free after `retry_after_s`."""

    exit_code = ExitCode.TRY_AGAIN
    code = "overloaded"

    def __init__(
        self, message: Message, remedy: Remedy | None = None, *, retry_after_s: float
    ) -> None:
        super().__init__(message, remedy)
        self.retry_after_s = retry_after_s


class InputError(QvqError):
    """An image or another input cannot be read."""

    exit_code = ExitCode.BAD_INPUT
    code = "input"


class ImageNotFoundError(InputError):
    """Nothing lies at the path."""

    code = "image-not-found"


class OutsideRootsError(InputError):
    """A client named what it may not have read."""

    code = "outside-roots"


class ImageUnreadableError(InputError):
    """Something lies there, and it is no picture that can be decoded whole."""

    code = "image-unreadable"


class ImageChangedError(InputError):
    """The picture is not the one that an earlier question was about."""

    code = "image-changed"


class ImageSizeError(InputError):
    """The picture is too large, too small or too narrow for the model."""

    code = "image-size"


class OutputError(QvqError):
    """The answer could not be written where it should go."""

    exit_code = ExitCode.USAGE
    code = "output"


class NoAnswerError(QvqError):
    """The run ended, and what stands is no whole answer."""

    exit_code = ExitCode.NO_ANSWER
    code = "no-answer"


class SchemaError(QvqError):
    """The answer does not satisfy the schema that it was held to, or there is none."""

    exit_code = ExitCode.BAD_SCHEMA
    code = "schema"


class StoppedError(QvqError):
    """The user stopped the run."""

    exit_code = ExitCode.INTERRUPTED
    code = "interrupted"


class HungUpError(QvqError):
    """The terminal went away."""

    exit_code = ExitCode.HUNG_UP
    code = "hung-up"


class TerminatedError(QvqError):
    """Somebody sent SIGTERM."""

    exit_code = ExitCode.TERMINATED
    code = "terminated"

"""Spells the fields and remedies of errors as options and commands of `qvq`.

Law: every word that came from outside is quoted, so that a remedy can be pasted into a shell
whatever a model, a file or an address is called. The words of this module are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from qvq_mlx.core.remedies import (
    Ask,
    AskAgain,
    AskFor,
    AskMany,
    BatchAgain,
    EstimateModel,
    EvaluateModel,
    Field,
    ForgetSetting,
    PullDataSet,
    PullModel,
    RunProgram,
    Show,
    Typed,
    VerifyModel,
    parts_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qvq_mlx.core.remedies import Message, Remedy, Settings

_OPTIONS = {
    Field.MODEL: "-m",
    Field.OUTPUT: "-o",
    Field.QUESTION: "-Q",
    Field.TEMPERATURE: "--temp",
}
"""Where an option is called otherwise than its field."""
_OF_OUTPUT = {
    *(Field.ANNOTATE, Field.BOXES, Field.CSV, Field.JSONL, Field.OUTPUT, Field.SHOW),
    Field.THINKING,
}
"""They stand behind what is asked, as people type them."""
_SHOWN = {
    Show.MODELS: "qvq models",
    Show.DOWNLOADED_MODELS: "qvq list",
    Show.RUNS: "qvq log list",
    Show.ALL_RUNS: "qvq log list -n 0",
    Show.SERVERS: "qvq ps",
    Show.SETTINGS: "qvq config list",
    Show.SOCKETS: "qvq doctor --offline --json",
    Show.LAST_THINKING: "qvq last --thinking",
    Show.TRACEBACK: "QVQ_DEBUG=1 qvq ...",
    Show.ASK_HELP: "qvq ask --help",
    Show.BATCH_HELP: "qvq batch --help",
    Show.CONVERT_HELP: "qvq convert --help",
}


class CommandLine:
    """The `Spelling` of a person at a shell, who asks by `qvq COMMAND`."""

    def __init__(self, command: str = "ask") -> None:
        self._asking = command if command in ("batch", "chat", "eval") else "ask"

    def sentence(self, message: Message) -> str:
        """`message` with each field as its option."""
        return "".join(
            option(part) if isinstance(part, Field) else part for part in parts_of(message)
        )

    def remedy(self, remedy: Remedy | None) -> str:
        """A command to run, on one line; '' for None."""
        match remedy:
            case None:
                return ""
            case RunProgram(words):
                return _quoted(words)
            case Ask():
                return _ask(remedy)
            case AskAgain(settings):
                before = tuple(given for given in settings if given[0] not in _OF_OUTPUT)
                after = tuple(given for given in settings if given[0] in _OF_OUTPUT)
                return _joined("qvq", self._asking, _given(before), "...", _given(after))
            case AskFor(question):
                return f'qvq ask ... "{question}"'
            case AskMany():
                return 'qvq batch IMAGE... -Q "question" -o out.jsonl'
            case BatchAgain(output, piped):
                return f"qvq batch ... {'>' if piped else '-o'} {_quoted([output])}"
            case PullDataSet(name):
                return _joined("qvq eval --pull", _operand(name))
            case EvaluateModel(name):
                return _joined("qvq eval", _operand(name), "--limit 100 -o FOLDER")
            case ForgetSetting(key):
                return _joined("qvq config unset", _operand(key))
            case PullModel(name):
                return _joined("qvq pull", _operand(name))
            case VerifyModel(name):
                return _joined("qvq verify", _operand(name))
            case EstimateModel(name, settings):
                return _joined("qvq fit", _operand(name), _given(settings))
            case Typed(line):
                return line
            case Show():
                return _SHOWN[remedy]
            case _:
                assert_never(remedy)


def typed(*words: str) -> Typed:
    """A command of the command line's own, each word quoted where it has to be."""
    return Typed(_quoted(words))


def option(field: Field) -> str:
    """The option that gives `field`."""
    return _OPTIONS.get(field) or f"--{field.replace('_', '-')}"


def _ask(remedy: Ask) -> str:
    programs = (_quoted(run.words) for run in remedy.piped)
    asked = _joined("qvq ask", _given(remedy.settings), _quoted(remedy.images), '"question"')
    if remedy.stdin:
        asked += f" < {_quoted([remedy.stdin])}"
    return " | ".join((*programs, asked))


def _given(settings: Settings) -> str:
    return " ".join(_joined(option(field), value and _quoted([value])) for field, value in settings)


def _operand(name: str) -> str:
    """`name` behind a command, and never taken for an option."""
    return f"-- {_quoted([name])}" if name.startswith("-") else _quoted([name])


def _quoted(words: Iterable[str]) -> str:
    """Words for a shell. A home folder's `~` stays what it expands."""
    import shlex

    quoted = []
    for word in words:
        home = "~" if word == "~" else "~/" if word.startswith("~/") else ""
        rest = word.removeprefix(home)
        quoted.append(home + (shlex.quote(rest) if rest or not home else ""))
    return " ".join(quoted)


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)

"""Spells fields and remedies for an agent: a field is an argument, a remedy what its user can run.

What asks the same thing again is not spelt: the agent has the arguments before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from qvq_mlx.core.remedies import (
    Ask,
    AskAgain,
    AskFor,
    AskMany,
    BatchAgain,
    EstimateModel,
    EvaluateModel,
    ForgetSetting,
    Message,
    PullDataSet,
    PullModel,
    Remedy,
    RunProgram,
    Show,
    Spelling,
    Typed,
    VerifyModel,
    parts_of,
)


@dataclass(frozen=True, slots=True)
class ToolSpelling:
    """The `Spelling` of an agent. `shell` spells what its user runs on this machine."""

    shell: Spelling

    def sentence(self, message: Message) -> str:
        """`message` with each field under its neutral name, which is the argument's."""
        return "".join(parts_of(message))

    def remedy(self, remedy: Remedy | None) -> str:
        """A command on one line; '' where there is none for the user to run."""
        match remedy:
            case None | Ask() | AskAgain() | AskFor() | AskMany() | BatchAgain() | Typed():
                return ""
            case RunProgram():  # it looks at the file, as the agent can by itself
                return ""
            case (
                PullModel()
                | PullDataSet()
                | EvaluateModel()
                | ForgetSetting()
                | VerifyModel()
                | EstimateModel()
            ):
                return self.shell.remedy(remedy)
            case Show():
                return "" if remedy is Show.ASK_HELP else self.shell.remedy(remedy)
            case _:
                assert_never(remedy)

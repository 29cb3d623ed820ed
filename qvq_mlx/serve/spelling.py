"""Spells the fields of errors as the fields of a JSON body. A client is sent no remedy that is a
command: it cannot run one on this machine.
"""

from __future__ import annotations

from qvq_mlx.core.remedies import AskAgain, Field, Message, Remedy, parts_of

_NAMES = {
    Field.BUDGET: "thinking_budget",
    Field.SCHEMA: "response_format",
    Field.VOTE: "n",
    Field.QUESTION: "messages",
    Field.SYSTEM: "the system message",
}
"""Where a field is called otherwise in a body."""


class JsonFields:
    """The `Spelling` of a client that sends JSON."""

    def sentence(self, message: Message) -> str:
        """`message` with each field as it stands in a body."""
        return "".join(
            _NAMES.get(part, part.value) if isinstance(part, Field) else part
            for part in parts_of(message)
        )

    def remedy(self, remedy: Remedy | None) -> str:
        """The fields to change, where that helps; else ''."""
        if not isinstance(remedy, AskAgain):
            return ""
        return ", ".join(f"{self.sentence((field,))}: {value}" for field, value in remedy.settings)

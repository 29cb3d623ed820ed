"""The real world as an `Env` of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qvq_mlx.run import real

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
    from qvq_mlx.core.remedies import Message, Remedy


def real_env() -> Env:
    """Return the world of the real process."""
    return real.env(_CommandLine())


class _CommandLine:
    """The spelling of `cli.spelling`, imported when there is something to say."""

    def sentence(self, message: Message) -> str:
        """As `CommandLine` spells it."""
        from qvq_mlx.cli.spelling import CommandLine

        return CommandLine().sentence(message)

    def remedy(self, remedy: Remedy | None) -> str:
        """As `CommandLine` spells it."""
        from qvq_mlx.cli.spelling import CommandLine

        return CommandLine().remedy(remedy)

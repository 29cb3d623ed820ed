"""The real world as an `Env` of the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from qvq_mlx.run import real

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env
    from qvq_mlx.core.remedies import Spelling


def real_env() -> Env:
    """Return the world of the real process."""
    return real.env(cast("Spelling", _CommandLine()))


class _CommandLine:
    """The spelling of `cli.spelling`, imported when there is something to say."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  a method of `CommandLine`
        from qvq_mlx.cli.spelling import CommandLine

        return getattr(CommandLine(*sys.argv[1:2]), name)

"""The command line: parses, chooses, and hands on. The only home of typer.

This module stays light: `qvq --version` imports nothing that it does not print.
"""

from __future__ import annotations

import sys


def run() -> None:
    """The console script: the real world, and the exit code of `main`."""
    from qvq_mlx.cli.main import main
    from qvq_mlx.cli.world import flushed, open_standard_streams, real_env

    open_standard_streams()
    env = real_env()
    code = main(sys.argv[1:], env)
    sys.exit(code if flushed(env) else 141)

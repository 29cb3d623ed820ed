"""The command line: parses, chooses, and hands on. The only home of typer.

This module stays light: `qvq --version` imports nothing that it does not print.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env


def run(changed: Callable[[Env], Env] = lambda env: env) -> None:
    """The console script: the real world, and the exit code of `main`.

    `changed`: another world that is made of the real one, for tests of what is around `main`.
    Outside of `main` nobody catches KeyboardInterrupt, so there Ctrl-C ends the process as it ends
    any other program: at once, and without a traceback.
    """
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from qvq_mlx.cli.main import main
    from qvq_mlx.cli.world import real_env
    from qvq_mlx.system.streams import flushed, open_standard_streams

    open_standard_streams()
    env = changed(real_env())
    try:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = main(sys.argv[1:], env)
        if interruptible:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    sys.exit(code if flushed((env.stdout, env.stderr)) else 141)

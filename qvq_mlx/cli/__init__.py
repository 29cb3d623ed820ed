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
    any other program: at once, and without a traceback. Also one that comes while another one ends
    `main`: between a `KeyboardInterrupt` that is caught and an assignment Python calls no handler.
    """
    within = False

    def interrupt(_number: int, _frame: object) -> None:
        if within:
            raise KeyboardInterrupt
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)

    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from qvq_mlx.cli.main import main
    from qvq_mlx.cli.world import real_env
    from qvq_mlx.system.streams import flushed, hush_interrupts, open_standard_streams

    open_standard_streams()
    hush_interrupts()
    env = changed(real_env())
    try:
        within = True
        if interruptible:
            signal.signal(signal.SIGINT, interrupt)
        code = main(sys.argv[1:], env)
        within = False
    except KeyboardInterrupt:
        within = False
        code = 130
    except SystemExit as ended:
        within = False
        code = ended.code if isinstance(ended.code, int) else 1
    sys.exit(code if flushed((env.stdout, env.stderr)) else 141)

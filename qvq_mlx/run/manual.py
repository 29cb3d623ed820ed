"""Shows the manual page as it is shipped: `uv tool install` and pipx put none where man looks."""

from __future__ import annotations

from qvq_mlx.core.env import Env
from qvq_mlx.core.shipped import shipped
from qvq_mlx.render.clean import writable
from qvq_mlx.render.manual import plain_text
from qvq_mlx.system.programs import found, give_terminal

_MAN = "/usr/bin/man"
"""Where a PATH like cron's does not find it."""


def show_manual(env: Env) -> None:
    """Have man show the page where a person watches; else, or without man, write plain text.

    man takes an argument with a slash for a file, on macOS, FreeBSD and Linux:
    https://man.freebsd.org/cgi/man.cgi?man(1), https://man7.org/linux/man-pages/man1/man.1.html.
    """
    page = shipped("qvq.1", "man/qvq.1")
    if env.stdout.isatty():
        tool = found("man", env.environ.get("PATH")) or found(_MAN, None)
        if tool and give_terminal([tool, str(page)]) == 0:
            return
    columns = env.terminal_size().columns if env.stdout.isatty() else 80
    text = plain_text(page.read_text(encoding="utf-8"), max(40, min(columns, 100)))
    env.stdout.write(writable(text, env.stdout))

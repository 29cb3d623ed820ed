"""Puts text on the clipboard: `pbcopy`, `wl-copy`, `xclip`, or the terminal itself (OSC 52).

Law: over ssh the terminal is asked, since the programs would fill the clipboard of the other
machine. What is copied is the text as the model wrote it, not as the screen shows it.
"""

from __future__ import annotations

import base64

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import OutputError
from qvq_mlx.system.programs import found, give

LONGEST_BYTES = 74_994
"""Terminals take no more than 100,000 characters of base64."""
_WAIT_S = 5.0


def copy(text: str, env: Env) -> str:
    """Copy, and return what took it. Raises OutputError where nothing did."""
    data = text.encode("utf-8", "replace")
    if not (env.environ.get("SSH_CONNECTION") or env.environ.get("SSH_TTY")):
        for argv in _programs(env):
            if give(argv, data, _WAIT_S):
                return argv[0].rpartition("/")[2]
    stream = next((one for one in (env.stdout, env.stderr) if one.isatty()), None)
    if stream is None or env.environ.get("TERM", "dumb") in ("", "dumb"):
        raise OutputError(
            "none of pbcopy, wl-copy and xclip took the text, and no terminal is here"
        )
    if len(data) > LONGEST_BYTES:
        raise OutputError(
            f"{len(data):,} bytes are more than a terminal copies ({LONGEST_BYTES:,})"
        )
    stream.write(f"\x1b]52;c;{base64.b64encode(data).decode()}\x07")
    stream.flush()
    return "the terminal"


def _programs(env: Env) -> list[list[str]]:
    """Those that are here and have a clipboard to fill."""
    path = env.environ.get("PATH", "")
    wanted = [["pbcopy"]]
    if env.environ.get("WAYLAND_DISPLAY"):
        wanted.append(["wl-copy"])
    if env.environ.get("DISPLAY"):
        wanted.append(["xclip", "-selection", "clipboard"])
    here = [(found(argv[0], path), argv) for argv in wanted]
    return [[tool, *argv[1:]] for tool, argv in here if tool]

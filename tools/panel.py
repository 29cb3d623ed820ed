"""Draws README's picture of the panel: `python -m tools.panel` writes docs/panel.svg.

A real run: `qvq` asks the embedded model in a pseudo-terminal, at the pace of a large model. The
screen after some seconds of thinking is read back through a terminal emulator, and drawn by rich.
Law: the file names no foreign host, so the fonts are the reader's own.
"""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import sys
import termios
from itertools import groupby

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tools.screens import ROOT, Window

PANEL = ROOT / "docs" / "panel.svg"
ASK = ("ask", "-m", "tiny", "--no-save", "shapes.png", "How many red circles are there?")
_COLUMNS, _ROWS = 80, 9
_THOUGHT = re.compile(r"Thinking .* · 5\d/")


def screen_while_thinking() -> Window:
    """Run `qvq`, and return its screen at about 50 tokens. Raises RuntimeError without one."""
    window = Window(_COLUMNS, _ROWS)
    window.write(f'$ qvq shapes.png "{ASK[-1]}"\n')
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT / "examples")
        os.environ |= {"TERM": "xterm-256color", "QVQ_PACE": "8"}
        os.execv(sys.executable, [sys.executable, "-m", "qvq_mlx", *ASK])  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    try:
        while not _THOUGHT.search("\n".join(window.screen.display)):
            window.write(os.read(terminal, 65536).decode(errors="ignore"))
    except OSError as error:  # the program has ended
        raise RuntimeError("the run ended before its 50th token") from error
    finally:
        os.close(terminal)  # the program is told that its terminal went away
        os.waitpid(child, 0)
    return window


def svg(window: Window) -> str:
    """The screen as a picture; what is dim on it is dim there."""
    screen = window.screen
    console = Console(width=_COLUMNS, record=True, file=io.StringIO(), force_terminal=True)
    for y in range(screen.lines):
        line = Text()
        cells = [screen.buffer[y][x] for x in range(screen.columns)]
        for style, run in groupby(cells, lambda cell: (cell.fg, cell.bold, cell.strikethrough)):
            colour, bold, dim = style
            named = {"default": "", "brown": "yellow"}.get(colour, colour)
            words = [named, "bold" if bold else "", "dim" if dim else ""]
            line.append("".join(cell.data for cell in run), " ".join(filter(None, words)))
        line.rstrip()
        console.print(line)
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    without_fonts = re.sub("<!--.*?-->", "", without_fonts)
    return console.export_svg(title="qvq", code_format=without_fonts, unique_id="panel")


if __name__ == "__main__":
    PANEL.write_text(svg(screen_while_thinking()), encoding="utf-8")

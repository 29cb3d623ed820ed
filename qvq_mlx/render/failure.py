"""Print an error: one line of facts, and one with what to do next."""

from __future__ import annotations

from contextlib import suppress

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import QvqError
from qvq_mlx.render.clean import clean_line, writable


def write_error(env: Env, error: QvqError) -> None:
    """Tell `error` on stderr, wrapped at words on a terminal; nothing where nobody can read it."""
    lines = [f"error[{error.code}]: {clean_line(env.spelling.sentence(error.parts))}"]
    if hint := env.spelling.remedy(error.remedy):
        lines.append(f"  try: {clean_line(hint)}")
    if env.stderr.isatty():
        from qvq_mlx.render.accent import alarming
        from qvq_mlx.render.rows import wrap

        width = env.terminal_size().columns
        lines = [row for line in lines for row in wrap(line, width)]
        label = f"error[{error.code}]:"
        if lines[0].startswith(label):
            lines[0] = alarming(label, env, env.stderr) + lines[0][len(label) :]
    with suppress(OSError):
        env.stdout.flush()
    with suppress(OSError):
        env.stderr.write(writable("".join(f"{line}\n" for line in lines), env.stderr))
        env.stderr.flush()

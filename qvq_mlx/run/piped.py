"""Text that is piped in is added to the question: `cat log.txt | qvq ask shot.png "Why?"`.

Law: stdin is read where it is a pipe or a regular file and no image comes from it (`-`); a
terminal, /dev/null, a socket and a closed stdin are left alone. What is read is sent whole or
refused: more than MAX_BYTES, or what is no UTF-8 text, is an error, nothing but white space is
nothing. The text follows the question after a blank line, without the white space at its end;
where no question is given, it is the question.

A pipe says that it has ended by closing, and one that a program inherited from a service or a CI
job may never close. So a pipe that is silent for as long as config.stdin_silence_s says ends the
command with an error that says how to give it none: waiting for ever helps nobody, and going on
without the text would answer another question.
"""

from __future__ import annotations

import os
import select
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qvq_mlx.core.errors import InputError, UsageError
from qvq_mlx.core.remedies import Ask, RunProgram

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env

MAX_BYTES = 256 * 2**10
"""About 64,000 tokens of English: more than the context of the models that qvq knows best."""

_NOTE_S = 1.0
_NONE = Ask(stdin="/dev/null")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\0", b"MM\0*", b"%PDF")


@dataclass(frozen=True, slots=True)
class Asked:
    """The question as it is sent, and how many characters of it were piped in."""

    question: str
    piped_characters: int = 0


def asked(question: str | None, env: Env, *, stdin_is_image: bool) -> Asked:
    """`question` with what is piped in. Raises UsageError where there is neither, or InputError."""
    text = "" if stdin_is_image else _piped(env)
    if question is None:
        if not text:
            raise UsageError("no question is given", Ask())
        return Asked(text, len(text))
    return Asked(f"{question}\n\n{text}", len(text)) if text else Asked(question)


def _piped(env: Env) -> str:
    """The text on stdin; empty where there is none."""
    try:
        descriptor = env.stdin.fileno()
        mode = os.fstat(descriptor).st_mode
    except (OSError, ValueError):  # closed, or a stream in memory
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return ""
    data = _read(descriptor, env)
    if len(data) > MAX_BYTES:
        raise InputError(
            f"stdin holds more than {MAX_BYTES // 2**10} KiB of text",
            Ask(piped=(RunProgram(("tail", "-c", "200000", "FILE")),)),
        )
    return _text(data)


def _read(descriptor: int, env: Env) -> bytes:
    """All that comes, but no more than is needed to see that it is too much."""
    from qvq_mlx.render.working import Working
    from qvq_mlx.settings import config

    silence_s = config.stdin_silence_s(env)
    data = bytearray()
    status = Working(env)
    try:
        while len(data) <= MAX_BYTES:
            if not select.select([descriptor], [], [], min(_NOTE_S, silence_s))[0]:
                status.show("waiting for the end of the text on stdin · Ctrl-C stops")
                if not select.select([descriptor], [], [], max(0.0, silence_s - _NOTE_S))[0]:
                    raise _silent(len(data), silence_s)
            part = os.read(descriptor, 2**16)
            if not part:
                break
            data += part
    except OSError as error:
        raise InputError(f"stdin cannot be read: {error.strerror}", _NONE) from error
    finally:
        status.close()
    return bytes(data)


def _silent(size_bytes: int, silence_s: float) -> InputError:
    came = f"sent {size_bytes:,} bytes and then" if size_bytes else "sent"
    return InputError(
        f"stdin is a pipe that {came} nothing for {silence_s:g} s and was not closed"
        " (QVQ_STDIN_S waits longer)",
        _NONE,
    )


def _text(data: bytes) -> str:
    """The text without a byte order mark and the white space at its end. Raises InputError."""
    if data.startswith(_PICTURES) or data[4:8] == b"ftyp":
        raise InputError(
            "stdin holds a picture, and no image is called -", Ask(("-",), stdin="FILE")
        )
    try:
        text = data.decode("utf-8-sig")
        at = data.find(b"\0")
    except UnicodeDecodeError as error:
        text, at = "", error.start
    if at >= 0:
        raise InputError(
            f"stdin is no UTF-8 text: byte {at:,} is 0x{data[at]:02x}",
            Ask(piped=(RunProgram(("iconv", "-f", "LATIN1", "-t", "UTF-8", "FILE")),)),
        )
    return text.rstrip()

"""Reads small text files that somebody else may have written: checkpoints, cards, config, records.

Law: only a regular file is read (a pipe would block, a device has no end), at most `max_bytes` of
it, and no structure deeper than MAX_DEPTH reaches a parser that recurses. Numbers are finite. Every
other file is an error: OSError where it cannot be read, ValueError for what is in it.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
from itertools import accumulate
from pathlib import Path

MAX_DEPTH = 64
"""No file that qvq reads is deeper than 10."""

_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord(opening): 1 for opening in "[{"} | {ord(closing): -1 for closing in "]}"}
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_TOML_STRING = re.compile(
    rb'"""(?:[^"\\]++|\\.|""?(?!"))*+(?:""")?'
    rb"|'''(?:[^']++|''?(?!'))*+(?:''')?"
    rb'|"(?:[^"\\\n]++|\\.)*+"?'
    rb"|'[^'\n]*+'?"
    rb"|#[^\n]*+",
    re.DOTALL,
)
_DOTTED = re.compile(rb"(?:[^\s.=\[\]{},]*+[ \t]*+\.[ \t]*+){%d}" % MAX_DEPTH)


class TooLargeError(ValueError):
    """The file has more bytes than its kind may have."""


def why(error: Exception) -> str:
    """The words of an error; of the system's, without its number and the path."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error)


def read_bytes(path: Path | str, max_bytes: int) -> bytes:
    """The content of a regular file, through links.

    Raises OSError where it cannot be read or is none, TooLargeError for more than `max_bytes`.
    """
    # not open(): it takes three times as long for the small files of a history
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        facts = os.fstat(descriptor)
        if stat.S_ISDIR(facts.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(errno.EINVAL, "Is no regular file", str(path))
        if facts.st_size <= max_bytes:
            content = _read(descriptor, facts.st_size, max_bytes)
            if len(content) <= max_bytes:
                return content
    finally:
        os.close(descriptor)
    raise TooLargeError(f"{Path(path).name} has more than {max_bytes:,} bytes")


def read_text(path: Path, max_bytes: int) -> str:
    """The same as UTF-8 text. Raises OSError or ValueError."""
    return read_bytes(path, max_bytes).decode("utf-8")


def read_json(path: Path, max_bytes: int) -> object:
    """Read the JSON in a file. Raises OSError or ValueError."""
    return parse_json(read_bytes(path, max_bytes))


def parse_json(text: bytes | str) -> object:
    """Parse JSON. Raises ValueError, also for a number that is not finite."""
    said = text if isinstance(text, str) else text.decode("utf-8")
    if said.count("[") + said.count("{") > MAX_DEPTH:
        _check_depth(said.encode("utf-8", "surrogatepass"), _JSON_STRING)
    try:
        return _JSON.decode(said)
    except RecursionError as error:  # the caller has used up the stack
        raise ValueError("it is nested too deep") from error


def parse_toml(text: str) -> dict[str, object]:
    """Parse TOML. Raises ValueError."""
    import tomllib  # most commands read none

    bare = _check_depth(text.encode(), _TOML_STRING)
    if _DOTTED.search(bare):
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    try:
        return tomllib.loads(text, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def read_toml(path: Path, max_bytes: int) -> dict[str, object]:
    """Read the TOML in a file. Raises OSError or ValueError."""
    return parse_toml(read_text(path, max_bytes))


def _read(descriptor: int, size_bytes: int, max_bytes: int) -> bytes:
    """Everything, or a little more than `max_bytes`: a file may grow while it is read."""
    content = os.read(descriptor, size_bytes + 1)
    while len(content) <= max_bytes and (more := os.read(descriptor, 2**20)):
        content += more
    return content


def _check_depth(content: bytes, string: re.Pattern[bytes]) -> bytes:
    """The content without its strings. Raises ValueError where its brackets are too deep.

    Linear: what is deep costs a parser its stack before it costs it time.
    """
    bare = string.sub(b'""', content)
    steps = (_STEP[byte] for byte in bare.translate(None, _BRACKETS))
    if any(depth > MAX_DEPTH for depth in accumulate(steps)):
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    return bare


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite number")
    return number


def _refused(text: str) -> object:
    raise ValueError(f"{text} is no finite number")


_JSON = json.JSONDecoder(parse_constant=_refused, parse_float=_finite)

"""Refuses an output that would replace an input or another output, before anything is written.

Law: two names mean one file where the system says so (device and inode, through links, of whatever
kind), and where they differ in case or in how accents are composed alone: on a Mac that is one
file. What is no regular file has no content to lose: a device or a pipe is nobody's twin.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, UsageError
from qvq_mlx.core.plan import Resolved
from qvq_mlx.core.remedies import Field, RunProgram
from qvq_mlx.images.paths import is_file, operand, place_of
from qvq_mlx.settings.config import files_of
from qvq_mlx.system.outputs import output_place

if TYPE_CHECKING:
    from qvq_mlx.history import Run

Key = tuple[int, int] | tuple[int, int, str]
"""Device and inode; or of the folder, with the name as a Mac compares it."""

STDIN = "standard input"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that is going to be written, and the field that names it."""

    field: Field
    path: Path


def outputs_of(given: Iterable[tuple[Field, Path | None]]) -> list[NamedFile]:
    """The outputs that were asked for."""
    return [NamedFile(field, path) for field, path in given if path is not None]


def check_outputs(
    outputs: Sequence[NamedFile], sources: Iterable[str], env: Env, files: Iterable[Path] = ()
) -> None:
    """Raise UsageError, which names both, where an output is an input or another output.

    `sources` are inputs as a request names them, `files` others that are read; the config file, the
    user's cards and the hostfile are inputs too, and stdin where it is a file.
    """
    if not outputs:
        return
    ends = {key for output in outputs for key in _keys(output.path.expanduser())}
    names = {key[-1] for key in ends if len(key) == 3}
    taken: dict[Key, str] = {}
    hosts = [env.hostfile] if env.hostfile else []
    for name, path in _inputs(sources, [*files, *files_of(env), *hosts]):
        if _may_be_one(path, ends, names):
            taken |= dict.fromkeys(_keys(Path(path)), name)
    if (key := _stdin_key(env)) is not None:
        taken[key] = STDIN
    written: dict[Key, NamedFile] = {}
    for output in outputs:
        keys = _keys(output.path.expanduser())
        for key in keys:
            if key in taken:
                raise _is_input(output, taken[key])
            if key in written:
                raise _is_output(output, written[key])
        written |= dict.fromkeys(keys, output)


def checkpoint_files(resolved: Resolved) -> list[Path]:
    """The files of the model and of the one that drafts for it; of a host's model none are here."""
    if resolved.served is not None:
        return []
    draft = resolved.setup.draft_model
    folders = [resolved.folder] if draft is None else [resolved.folder, draft.folder]
    return [file for folder in folders for file in folder.iterdir()]


def run_files(run: Run) -> list[Path]:
    """The file of a saved run, and what is kept beside it of its pictures."""
    from qvq_mlx.history import attachments  # a question alone has no run that it follows

    kept = attachments.folder_in(run.path.parent)
    hashes = [image.sha256 for image in run.request.images]
    return [run.path, *(kept / sha256 for sha256 in hashes if sha256)]


def _inputs(sources: Iterable[str], files: Iterable[Path]) -> Iterable[tuple[str, str]]:
    """Yield what each input is called, and its path."""
    for source in dict.fromkeys(sources):
        if is_file(source):
            try:
                yield source, place_of(source)
            except InputError:  # it names no file
                continue
    for path in files:
        yield str(path), str(path)


def _keys(path: Path) -> list[Key]:
    """By what a file is known; nothing where it is no regular file and is not missing."""
    try:
        end = output_place(path)
        folder = end.parent.stat()
        facts = end.stat() if end.exists() else None
    except (OSError, ValueError):
        return []
    named = (folder.st_dev, folder.st_ino, _folded(end.name))
    if facts is None:
        return [named]
    return [named, (facts.st_dev, facts.st_ino)] if stat.S_ISREG(facts.st_mode) else []


def _folded(name: str) -> str:
    """A name as a Mac compares it."""
    if name.isascii():
        return name.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _may_be_one(path: str, ends: Container[Key], names: Container[str]) -> bool:
    """False where an input is surely none of `ends`, whose files are called `names`.

    It takes a quarter of the time of `_keys`, which counts where there are 100,000 inputs.
    """
    try:
        facts = os.lstat(path)
    except (OSError, ValueError):
        return True
    if not stat.S_ISREG(facts.st_mode):
        return True  # a link leads elsewhere
    return (facts.st_dev, facts.st_ino) in ends or _folded(path.rpartition("/")[2]) in names


def _stdin_key(env: Env) -> Key | None:
    try:
        facts = os.fstat(env.stdin.fileno())
    except (OSError, ValueError):
        return None
    return (facts.st_dev, facts.st_ino) if stat.S_ISREG(facts.st_mode) else None


def _is_input(output: NamedFile, name: str) -> UsageError:
    text = (output.field, f" {output.path} is an input ({name}), which it would replace")
    return UsageError(text, RunProgram(("ls", "-li", operand(output.path))))


def _is_output(output: NamedFile, other: NamedFile) -> UsageError:
    text = (output.field, f" {output.path} and ", other.field, f" {other.path} are the same file")
    return UsageError(text, RunProgram(("ls", "-li", operand(output.path))))

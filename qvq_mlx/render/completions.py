"""Answer a shell's Tab: lines of words or of files.

Law: the first line is `words`, and then value, tab, help; or `files`, and then paths. zsh lists
files better itself, and gets `files` with the extensions that count, none for every file, or
`folders`. What would be more than one word is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qvq_mlx.core.env import Env


class Shell(StrEnum):
    """The shells that there is a script for."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@dataclass(frozen=True, slots=True)
class Word:
    """One completion, and a few words on it."""

    value: str
    help: str = ""


@dataclass(frozen=True, slots=True)
class Files:
    """Files whose names end in one of `extensions`, all of them for none, and every folder."""

    extensions: tuple[str, ...] = ()


class Folders:
    """Folders alone."""


Found = tuple[Word, ...] | Files | Folders


def lines_for(found: Found, shell: Shell, current: str, env: Env) -> list[str]:
    """The answer, cleaned of what would be more than a word."""
    from qvq_mlx.render.clean import clean_line  # not before: every `--help` reads this module

    match found:
        case Files(extensions=extensions) if shell is Shell.ZSH:
            return [" ".join(["files", *extensions])]
        case Folders() if shell is Shell.ZSH:
            return ["folders"]
        case Files(extensions=extensions):
            return ["files", *_listed(current, extensions, env.home)]
        case Folders():
            return ["files", *_listed(current, None, env.home)]
        case tuple() as words:
            prefix = _prefix(current) if shell is Shell.FISH else ""
            rows = [f"{prefix}{word.value}\t{word.help}" for word in words]
            return ["words", *(row for row in rows if clean_line(row) == row.replace("\t", " "))]


def _prefix(current: str) -> str:
    """Return what fish wants before the value of `--option=value`."""
    name, equals, _ = current.partition("=")
    return name + equals if name.startswith("--") and equals else ""


def _listed(current: str, extensions: tuple[str, ...] | None, home: Path) -> list[str]:
    """Paths that begin with `current`, folders with a `/`; `extensions` None: folders alone."""
    head, slash, start = current.removeprefix(_prefix(current)).rpartition("/")
    head += slash
    folder = home / head[2:] if head.startswith("~/") else Path(head or ".")
    found = []
    try:
        for entry in folder.iterdir():
            if not entry.name.startswith(start) or (entry.name[0] == "." and not start):
                continue
            if entry.is_dir():
                found.append(f"{head}{entry.name}/")
            elif extensions is not None and _ends(entry.name, extensions):
                found.append(head + entry.name)
    except OSError:
        return []
    return sorted(path for path in found if path.isprintable())


def _ends(name: str, extensions: tuple[str, ...]) -> bool:
    return not extensions or name.lower().endswith(extensions)

"""Read a batch's questions about pictures from paths or from a JSON Lines file.

Law: the order is the order given, but that questions about the same pictures stand together, at
the place of the first: what the model computed for them is then used again.

A line of the file is an object:

    {"image": "a.png", "question": "How many?", "id": "q1"}
    {"image": ["before.png", "after.png"], "question": "What changed?"}

`question` may be missing where the command line asks one; `id` is handed through; other keys are
ignored. A relative path begins at the file's own folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError, UsageError
from qvq_mlx.core.remedies import AskMany, Field, RunProgram, Show
from qvq_mlx.images.folders import LeftOut, pictures_in
from qvq_mlx.system.reading import parse_json


@dataclass(frozen=True, slots=True)
class Item:
    """One question about some images. `id` is the user's own name for it."""

    images: tuple[str, ...]
    question: str
    id: str | int | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """The items in the order of asking, and what of the given folders is none."""

    items: tuple[Item, ...]
    left_out: tuple[LeftOut, ...] = ()


def read_items(
    env: Env,
    paths: Sequence[str],
    questions: Sequence[str],
    lines: str | None,
    *,
    videos: bool = False,
) -> Work:
    """Every item of a command line. `lines` names a JSON Lines file; `-` is stdin. `videos`: those
    in folders are taken.

    Raises UsageError where there is nothing to ask, InputError for a file that cannot be read.
    """
    if any(not question.strip() for question in questions):
        raise UsageError("the question is empty", AskMany())
    inside = pictures_in(paths, videos=videos)
    found = from_paths(inside.sources, questions)
    if lines is not None:
        name, text, folder = _read_lines(env, lines)
        found += from_lines(name, text, folder, questions)
    if not found:
        what = "no image is given" if lines is None else f"{lines} has no line"
        raise UsageError(what, AskMany())
    return Work(tuple(grouped(found)), inside.left_out)


def from_paths(paths: Sequence[str], questions: Sequence[str]) -> list[Item]:
    """Every question about every image. Raises UsageError where there is no question."""
    if paths and not questions:
        raise UsageError(("no question is given (", Field.QUESTION, ")"), AskMany())
    return [Item((path,), question) for path in paths for question in questions]


def from_lines(name: str, text: str, folder: Path, questions: Sequence[str]) -> list[Item]:
    """The items of a JSON Lines file called `name`. Raises InputError with the line's number."""
    items: list[Item] = []
    # not splitlines(): a JSON string may hold U+2028 as it is
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            items += _of_line(f"{name}:{number}", line, folder, questions)
    return items


def grouped(items: Iterable[Item]) -> list[Item]:
    """Those about the same images together, else in the order given."""
    groups: dict[tuple[str, ...], list[Item]] = {}
    for item in items:
        groups.setdefault(item.images, []).append(item)
    return [item for group in groups.values() for item in group]


def _read_lines(env: Env, given: str) -> tuple[str, str, Path]:
    """The file's name for errors, its text, and the folder that its paths begin at."""
    try:
        if given == "-":
            content, folder = env.stdin.buffer.read(), Path()
        else:
            path = Path(given).expanduser()
            content, folder = path.read_bytes(), path.parent
        return given, content.decode("utf-8-sig"), folder
    except OSError as error:
        why = error.strerror or str(error)
        raise InputError(f"{given} cannot be read: {why}", Show.BATCH_HELP) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{given} is no UTF-8 text", RunProgram(("file", given))) from error


def _of_line(place: str, line: str, folder: Path, questions: Sequence[str]) -> list[Item]:
    name, _, number = place.rpartition(":")
    printed = RunProgram(("sed", "-n", f"{number}p", name))
    try:
        entry = parse_json(line)
    except ValueError as error:
        raise InputError(f"{place}: is no JSON ({error})", printed) from error
    if not isinstance(entry, dict):
        raise InputError(f"{place}: is no JSON object", printed)
    images = entry.get("image", entry.get("images", []))
    names = [images] if isinstance(images, str) else images
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InputError(f'{place}: "image" is no path and no list of paths', printed)
    own = entry.get("question")
    if own is not None and (not isinstance(own, str) or not own.strip()):
        raise InputError(f'{place}: "question" is no text', printed)
    asked = [own] if own is not None else list(questions)
    if not asked:
        raise InputError(
            (f'{place}: has no "question", and none is given with ', Field.QUESTION), printed
        )
    own_id = entry.get("id")
    if own_id is not None and (isinstance(own_id, bool) or not isinstance(own_id, str | int)):
        raise InputError(f'{place}: "id" is no text and no whole number', printed)
    paths = tuple(_beside(folder, path) for path in names)
    return [Item(paths, question, own_id) for question in asked]


@lru_cache(maxsize=1024)  # a file asks many questions about one picture
def _beside(folder: Path, path: str) -> str:
    """A relative path as seen from `folder`; an absolute one, `~/…` or a URL as it is."""
    if "://" in path or path.startswith(("~", "data:")) or folder == Path():
        return path
    return str(folder / path)

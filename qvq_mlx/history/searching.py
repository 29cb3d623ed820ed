"""What the history holds, as a list, and words in it.

Law: newest first. A list reads the first and the last line of each file, a search its bytes; there
is no index, so nothing has to be kept in step and nothing of an erased run stays behind. A word is
found where `str.casefold` of it stands in `str.casefold` of the question, the answer or the
thinking; all words have to be there. The bytes are looked at first, and only what may hold every
word is read as a run; `_maybe` never says no to a run that holds it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.history.files import File, being_written, files
from qvq_mlx.history.reading import Ending, Run, ending, load

_HEAD_BYTES, _TAIL_BYTES = 4096, 8192
_EXCERPT_CHARACTERS = 60
_REPEATED = (b'\n{"type": "thinking"', b'\n{"type": "answer"')


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of `qvq log list`. `images` are their names as they were given.

    Tokens are null where the run has no end. `time` is ISO 8601.
    """

    id: str
    time: str
    model: str
    images: tuple[str, ...]
    question: str
    ending: Ending
    thinking_tokens: int | None
    answer_tokens: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A run that holds the words: where (`question`, `answer`, `thinking`), and the text around
    the first of them.
    """

    entry: Entry
    places: tuple[str, ...]
    excerpt: str


@dataclass(frozen=True, slots=True)
class EntryList:
    """`qvq log list --json`."""

    runs: tuple[Entry, ...]
    version: int = 1


@dataclass(frozen=True, slots=True)
class HitList:
    """`qvq log search --json`."""

    found: tuple[Hit, ...]
    version: int = 1


def entries(
    folder: Path, *, model: str | None = None, since: datetime | None = None
) -> Iterator[Entry]:
    """The runs of a model, or of all, from a time on."""
    for file in reversed(files(folder)):
        began = file.time
        if since is not None and began is not None and began < since:
            continue
        found = entry_of(file)
        if found is not None and (model is None or _is_called(found.model, model)):
            yield found


def entry_of(file: File) -> Entry | None:
    """One line; None for what is no run, or went away."""
    try:
        first, final = _ends(file.path)
        head = json.loads(first)
        images = tuple(str(image["path"]) for image in head["images"])
        stats = _stats(final)
        return Entry(
            id=file.id,
            time=str(head.get("time", "")),
            model=str(head["model"]),
            images=images,
            question=str(head["question"]),
            ending=_ending(file, final),
            thinking_tokens=stats.get("thinking_tokens"),
            answer_tokens=stats.get("answer_tokens"),
            path=str(file.path),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def search(folder: Path, words: Iterable[str]) -> Iterator[Hit]:
    """The runs that hold every word."""
    wanted = tuple(word.casefold() for word in words if word.strip())
    if not wanted:
        return
    for file in reversed(files(folder)):
        try:
            data = file.path.read_bytes()
            if not all(_maybe(data, word) for word in wanted):
                continue
            run = load(file.path)
        except (OSError, InputError):
            continue
        hit = _hit(file, run, wanted)
        if hit is not None:
            yield hit


def _hit(file: File, run: Run, wanted: tuple[str, ...]) -> Hit | None:
    transcript = run.transcript
    texts = {
        "question": run.request.question,
        "answer": transcript.answer,
        "thinking": transcript.thinking,
    }
    folded = {place: text.casefold() for place, text in texts.items()}
    if not all(any(word in text for text in folded.values()) for word in wanted):
        return None
    places = tuple(place for place, text in folded.items() if any(word in text for word in wanted))
    entry = entry_of(file)
    if entry is None:
        return None
    return Hit(entry, places, _excerpt(texts[places[0]], folded[places[0]], wanted))


def _excerpt(text: str, folded: str, wanted: tuple[str, ...]) -> str:
    """The text around the first word, on one line."""
    place = min(at for word in wanted if (at := folded.find(word)) >= 0)
    # folding may change the length; then this is a little off
    begin = max(0, place - _EXCERPT_CHARACTERS // 2)
    end = begin + _EXCERPT_CHARACTERS
    shown = " ".join(text[begin:end].split())
    return ("…" if begin else "") + shown + ("…" if end < len(text) else "")


def _maybe(data: bytes, word: str) -> bool:
    """Whether the run may hold a folded word. Never False for one that does."""
    needle = json.dumps(word, ensure_ascii=False)[1:-1].encode("utf-8", "backslashreplace")
    if needle in data.lower():
        return True
    if any(data.count(begin) > 1 for begin in _REPEATED):
        return True  # where a text is cut in two, the word may be cut too
    if word.isascii():
        # all else that holds ASCII when it is folded
        return not data.isascii() and any(character in data for character in _FOLD_TO_ASCII)
    return not all(map(_is_itself, word))


def _is_itself(character: str) -> bool:
    """Whether no other character folds to this one. Latin, Greek and their marks are not sure."""
    if character.isascii():
        return not character.isalpha()
    return character > "\u0370" and character.upper() == character == character.lower()


_FOLD_TO_ASCII = tuple(
    chr(point).encode()
    for point in (0xDF, 0x130, 0x149, 0x17F, 0x1F0, *range(0x1E96, 0x1E9B), 0x1E9E, 0x212A)
) + tuple(chr(point).encode() for point in range(0xFB00, 0xFB07))


def _is_called(name: str, wanted: str) -> bool:
    return wanted.casefold() in name.casefold()


def _ends(path: Path) -> tuple[bytes, bytes]:
    """The first and the last whole line."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        tail = b""
        if size > len(head):
            tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        if b"\n" not in head or (tail and b"\n" not in tail[:-1]):
            head, tail = os.pread(descriptor, size, 0), b""
    finally:
        os.close(descriptor)
    first = head[: head.find(b"\n") + 1]
    rest = tail or head
    whole = rest[: rest.rfind(b"\n") + 1]
    return first, whole[whole.rfind(b"\n", 0, -1) + 1 :]


def _stats(line: bytes) -> dict[str, int]:
    try:
        found = json.loads(line)["stats"]
    except (ValueError, KeyError):
        return {}
    return found if isinstance(found, dict) else {}


def _ending(file: File, line: bytes) -> Ending:
    return ending(line) or (
        Ending.RUNNING if not file.is_whole and being_written(file.path) else Ending.KILLED
    )

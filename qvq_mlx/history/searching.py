"""List and search the saved runs.

Law: newest first. A list looks at the first and the last line of each file, a search at all; there
is no index, so nothing has to be kept in step and nothing of an erased run stays behind. A word is
found where `str.casefold` of it stands in `str.casefold` of the question, the answer or the
thinking; all words have to be there. The bytes are looked at first, and only what may hold every
word is read as a run; `_maybe` never says no to a run that holds it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.events import ConcludedBy, Done
from qvq_mlx.history.files import MAX_BYTES, File, being_written, files
from qvq_mlx.history.reading import Run, ending, load
from qvq_mlx.records.history import Ending, Entry, Hit
from qvq_mlx.records.runs import event_from_json
from qvq_mlx.system.reading import parse_json, read_bytes

_EXCERPT_CHARACTERS = 60
_REPEATED = (b'\n{"type": "thinking"', b'\n{"type": "answer"')


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
        first, final = _ends(file.place)
        head = parse_json(first)
        if not isinstance(head, dict):
            return None
        images = tuple(str(image["path"]) for image in head["images"])
        stats = _stats(final)
        return Entry(
            id=file.id,
            time=str(head.get("time", "")),
            model=str(head["model"]),
            images=images,
            question=str(head["question"]),
            ending=_ending(file, final),
            concluded_by=_concluded_by(final),
            thinking_tokens=stats.get("thinking_tokens"),
            answer_tokens=stats.get("answer_tokens"),
            path=file.place,
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def search(folder: Path, words: Iterable[str]) -> Iterator[Hit]:
    """The runs that hold every word."""
    needles = tuple(_needle(word) for word in words if word.strip())
    if not needles:
        return
    wanted = tuple(needle.word for needle in needles)
    for file in reversed(files(folder)):
        try:
            if not _maybe(read_bytes(file.place, MAX_BYTES).lower(), needles):
                continue
            run = load(file.path)
        except (OSError, ValueError, InputError):
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


@dataclass(frozen=True, slots=True)
class _Needle:
    """A folded word as it stands in a file, and what else folds to its letters."""

    word: str
    data: bytes
    folds: tuple[tuple[bytes, bytes], ...]


def _needle(word: str) -> _Needle:
    folded = word.casefold()
    data = json.dumps(folded, ensure_ascii=False)[1:-1].encode("utf-8", "backslashreplace")
    letters = {letter for letter in folded if letter.isalpha()}
    folds = tuple(
        (character.encode(), fold.encode())
        for character in map(chr, _CASED)
        if (fold := character.casefold()) != character and not letters.isdisjoint(fold)
    )
    return _Needle(folded, data, folds)


def _maybe(lower: bytes, needles: tuple[_Needle, ...]) -> bool:
    """True if a run may hold every word. `lower` are its bytes, ASCII in lower case.

    Never False for one that does.
    """
    for needle in needles:
        text = lower
        for character, fold in needle.folds:
            if character in text:
                text = text.replace(character, fold)
        if needle.data not in text:
            # where a text is cut in two, the word may be cut too
            return any(lower.count(begin) > 1 for begin in _REPEATED)
    return True


_CASED = (
    *(*range(0x80, 0x590), *range(0x10A0, 0x1100), *range(0x13A0, 0x1400)),
    *(*range(0x1C80, 0x1CC0), *range(0x1E00, 0x2000), *range(0x2100, 0x2190)),
    *(*range(0x24B6, 0x24EA), *range(0x2C00, 0x2D30), *range(0xA640, 0xA800)),
    *(*range(0xAB30, 0xABC0), *range(0xFB00, 0xFB18), *range(0xFF21, 0xFF5B)),
    *(*range(0x10400, 0x105C0), *range(0x10C80, 0x10D90), *range(0x118A0, 0x118E0)),
    *(*range(0x16E40, 0x16EE0), *range(0x1E900, 0x1E944)),
)
"""Where the characters lie that are not ASCII and are changed by folding."""


def _is_called(name: str, wanted: str) -> bool:
    return wanted.casefold() in name.casefold()


def _ends(place: str) -> tuple[bytes, bytes]:
    """The first and the last whole line."""
    data = read_bytes(place, MAX_BYTES)
    end = data.rfind(b"\n") + 1
    return data[: data.find(b"\n") + 1], data[data.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]


def _stats(line: bytes) -> dict[str, int]:
    try:
        entry = parse_json(line)
    except ValueError:
        return {}
    found = entry.get("stats") if isinstance(entry, dict) else None
    return found if isinstance(found, dict) else {}


def _concluded_by(line: bytes) -> ConcludedBy | None:
    """Who asked for the answer, by a run's last line."""
    try:
        record = parse_json(line)
        event = event_from_json(record) if isinstance(record, dict) else None
    except ValueError:
        return None
    return event.concluded_by if isinstance(event, Done) else None


def _ending(file: File, line: bytes) -> Ending:
    return ending(line) or (
        Ending.RUNNING if not file.is_whole and being_written(file.path) else Ending.KILLED
    )

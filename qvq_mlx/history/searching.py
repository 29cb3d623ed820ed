"""List and search the saved runs.

Law: newest first. A list reads the runs that it shows, a search those that may hold the words: the
index says which do not. A word is found where `str.casefold` of it stands in `str.casefold` of the
question, the answer or the thinking; all words have to be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from qvq_mlx.core.errors import InputError
from qvq_mlx.core.events import ConcludedBy, Done
from qvq_mlx.history.files import MAX_BYTES, File, being_written, runs_among
from qvq_mlx.history.reading import ending, spoken
from qvq_mlx.records.history import Ending, Entry, Hit
from qvq_mlx.records.runs import event_from_json
from qvq_mlx.system.reading import parse_json, read_bytes

_EXCERPT_CHARACTERS = 60


def entries(
    folder: Path,
    names: Sequence[str],
    *,
    model: str | None = None,
    since: datetime | None = None,
    is_left_out: Callable[[File], None] = lambda _file: None,
) -> Iterator[Entry]:
    """The runs among the folder's `names`, of a model or of all, from a time on.

    `is_left_out` hears of what is none.
    """
    for file in runs_among(names, folder):
        if since is not None and (began := file.time) is not None and began < since:
            continue
        found = entry_of(file)
        if found is None:
            is_left_out(file)
        elif model is None or _is_called(found.model, model):
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


def search(
    folder: Path,
    names: Sequence[str],
    words: Iterable[str],
    is_reading: Callable[[int], None] = lambda _runs: None,
    is_left_out: Callable[[File], None] = lambda _file: None,
) -> Iterator[Hit]:
    """The runs among the folder's `names` that hold every word.

    `is_reading` hears how many are read for the index before, `is_left_out` of files that are no
    run.
    """
    wanted = tuple(word.casefold() for word in words if word.strip())
    if not wanted:
        return
    from qvq_mlx.history.index import may_hold

    for file in runs_among(may_hold(folder, names, wanted, is_reading), folder):
        try:
            texts = spoken(file.path)
        except InputError:
            is_left_out(file)
            continue
        hit = _hit(file, texts, wanted)
        if hit is not None:
            yield hit


def _hit(file: File, spoken_texts: tuple[str, str, str], wanted: tuple[str, ...]) -> Hit | None:
    texts = dict(zip(("question", "answer", "thinking"), spoken_texts, strict=True))
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

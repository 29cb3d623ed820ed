"""Reads a JSON body field by field.

Law: every field that a client sent is read, refused by name, or known to change nothing; none is
dropped in silence. A field that is null counts as not sent.
"""

from __future__ import annotations

from collections.abc import Iterable

from qvq_mlx.core.errors import ExitCode, QvqError
from qvq_mlx.system.reading import parse_json


class RequestError(QvqError):
    """A request that is not taken. `param` names the field, as `messages[0].content`."""

    exit_code = ExitCode.USAGE
    code = "invalid_request"

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, code: str = ""
    ) -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code or type(self).code


class Fields:
    """The fields of one JSON object; `place` is its path in the body, '' for the body itself."""

    def __init__(self, record: object, place: str = "") -> None:
        """Raises RequestError where it is no object."""
        if not isinstance(record, dict):
            raise RequestError(f"{place or 'the body'} has to be an object", place or None)
        self.place = place
        self._left: dict[str, object] = {
            str(name): value for name, value in record.items() if value is not None
        }

    def path(self, name: str) -> str:
        """Return the path of a field in the body."""
        return f"{self.place}.{name}" if self.place else name

    def has(self, name: str) -> bool:
        """True if the field was sent and not read yet."""
        return name in self._left

    def take(self, name: str) -> object:
        """The value of any type; None where it was not sent."""
        return self._left.pop(name, None)

    def text(self, name: str) -> str | None:
        """A string. Raises RequestError for anything else, and for half a surrogate pair."""
        value = self.take(name)
        return None if value is None else checked_text(value, self.path(name))

    def required(self, name: str) -> str:
        """A string that has to be there."""
        value = self.text(name)
        if value is None:
            raise RequestError(f"{self.path(name)} is missing", self.path(name))
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false; `default` where it was not sent."""
        value = self.take(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return bool(value)

    def number(self, name: str, least: float, most: float) -> float | None:
        """A number from `least` to `most`."""
        value = self.take(name)
        if value is None:
            return None
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not least <= float(value) <= most:  # type: ignore[arg-type]
            self._refuse(name, f"a number from {least:g} to {most:g}")
        return float(value)  # type: ignore[arg-type]

    def whole(self, name: str, least: int, most: int) -> int | None:
        """A whole number from `least` to `most`."""
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self._refuse(name, f"a whole number from {least:,} to {most:,}")
        assert isinstance(value, int)
        return value

    def one_of(self, name: str, words: Iterable[str]) -> str | None:
        """One of these words."""
        value = self.take(name)
        known = tuple(words)
        if value is not None and (not isinstance(value, str) or value not in known):
            self._refuse(name, f"one of {', '.join(known)}")
        return value if isinstance(value, str) else None

    def record(self, name: str) -> Fields | None:
        """An object."""
        value = self.take(name)
        return None if value is None else Fields(value, self.path(name))

    def items(self, name: str) -> list[tuple[str, object]]:
        """The elements of an array with their paths."""
        value = self.take(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise RequestError(f"{self.path(name)} has to be an array", self.path(name))
        return [(f"{self.path(name)}[{index}]", one) for index, one in enumerate(value)]

    def only(self, name: str, *neutral: object) -> None:
        """Refuse a field that is not supported, unless its value asks for nothing."""
        value = self.take(name)
        if value is None or any(type(value) is type(one) and value == one for one in neutral):
            return
        if isinstance(value, int | float) and not isinstance(value, bool) and value in neutral:
            return
        raise _unsupported(self.path(name))

    def ignore(self, *names: str) -> None:
        """Drop fields that cannot change the reply, such as labels for the provider's bills."""
        for name in names:
            self.take(name)

    def close(self) -> None:
        """Raise RequestError for the first field that nobody read."""
        for name in self._left:
            raise _unsupported(self.path(name[:80]))

    def _refuse(self, name: str, expected: str) -> None:
        raise RequestError(f"{self.path(name)} has to be {expected}", self.path(name))


def body_of(data: bytes) -> Fields:
    """Parse a body. Raises RequestError where it is no JSON object, too deep, or no UTF-8."""
    try:
        return Fields(parse_json(data.decode()))
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8: byte {error.start + 1:,}") from None
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise RequestError(f"the body is no JSON that can be read: {reason}") from None


def checked_text(value: object, place: str) -> str:
    """`value` as text. Raises RequestError."""
    if not isinstance(value, str):
        raise RequestError(f"{place} has to be a string", place)
    try:
        value.encode()
    except UnicodeEncodeError:
        text = f"{place} holds half a surrogate pair, which is no text"
        raise RequestError(text, place) from None
    return value


def _unsupported(path: str) -> RequestError:
    return RequestError(f"{path} is not supported", path, code="unsupported")

"""One key of a flat TOML file set or removed, everything else left as it stands.

Law: comments, order and the other keys stay, byte for byte. The result is parsed before it is
returned; where the edit did not do exactly what was asked (the key stands in an unusual form, such
as a string over several lines), it is refused.
"""

from __future__ import annotations

import json
import re

from qvq_mlx.system.reading import parse_toml

_COMMENT = re.compile(r"""=\s*(?:"(?:[^"\\]|\\.)*"|'[^']*'|[^#"']*?)(\s*#.*)?$""")
_TABLE = re.compile(r"\s*\[")


def with_value(text: str, key: str, value: str | bool | None) -> str:
    """`text` with `key` = `value`; None removes the key. Raises ValueError where it cannot."""
    wanted = parse_toml(text)
    if value is None:
        wanted.pop(key, None)
    else:
        wanted[key] = value
    lines = text.splitlines(keepends=True)
    stands = re.compile(rf"\s*(?:{re.escape(key)}|\"{re.escape(key)}\")\s*=")
    at = next((index for index, line in enumerate(lines) if stands.match(line)), None)
    if value is None:
        lines = [line for index, line in enumerate(lines) if index != at]
    else:
        written = f"{key} = {_literal(value)}"
        if at is None:
            at = next((i for i, line in enumerate(lines) if _TABLE.match(line)), len(lines))
            if at and not lines[at - 1].endswith("\n"):
                lines[at - 1] += "\n"
            lines.insert(at, f"{written}\n")
        else:
            comment = _COMMENT.search(lines[at].rstrip("\r\n"))
            lines[at] = f"{written}{(comment and comment[1]) or ''}\n"
    result = "".join(lines)
    if parse_toml(result) != wanted:
        raise ValueError(f"the line of {key} is not one that can be changed")
    return result


def _literal(value: str | bool) -> str:
    """JSON's strings are TOML's basic strings, but for DEL, which no checked value holds."""
    return json.dumps(value, ensure_ascii=False)

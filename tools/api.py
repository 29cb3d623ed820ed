"""docs/api.md: what `import qvq_mlx` offers, from its signatures and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import qvq_mlx
from qvq_mlx.library import Model, Options, Result, answer, ask

EXAMPLE = Path(__file__).parents[1] / "examples" / "library.py"

_HEAD = """# qvq as a library

Generated from signatures and docstrings by `make fix`. The same code as the command: a question is
planned, asked and judged by the same functions. Importing `qvq_mlx` loads nothing heavy, and the
package is typed (`py.typed`).

```python
{example}```

- An **image** is a path, an address, the bytes of a file, an image of PIL's, or an array of 8-bit
  values; a list of them is several pictures. A name is never the clipboard, the screen or stdin.
- **Nothing is printed**, and nothing is kept in the history unless `Options(save=True)`. What a
  picture costs is kept in the cache as with the command (`use_cache=False`: it is not).
- **Errors** are `QvqError`s: `str(error)` is one line that names arguments, `error.code` a stable
  word, `error.exit_code` the command's.
- **Events** are those of `--jsonl`, and a `Result` is the object of `--json`, as dataclasses:
  [json.md](json.md) explains every field.
"""


def api_page() -> str:
    """The page."""
    return (
        "\n".join(
            [
                _HEAD.format(example=EXAMPLE.read_text(encoding="utf-8")),
                *(_function(one) for one in (answer, ask)),
                *_class(Model, ("ask", "answer", "close")),
                *_class(Options),
                *_class(Result),
            ]
        ).rstrip()
        + "\n"
    )


def _class(cls: type, methods: tuple[str, ...] = ()) -> Iterator[str]:
    name = next((name for name in qvq_mlx.__all__ if getattr(qvq_mlx, name) is cls), cls.__name__)
    lines = [f"## {name}", "", inspect.getdoc(cls) or "", ""]
    if is_dataclass(cls):
        rows = [(one.name, str(one.type).replace("|", "\\|")) for one in fields(cls)]
        lines += ["| field | type |", "|---|---|"]
        lines += [f"| `{field}` | `{kind}` |" for field, kind in rows]
        lines.append("")
    yield "\n".join(lines)
    yield from (_function(getattr(cls, method), f"{name}.{method}", "###") for method in methods)


def _function(function: object, name: str = "", level: str = "##") -> str:
    """A heading, the signature with an argument per line, and the docstring."""
    assert inspect.isfunction(function)
    title = name or function.__name__
    signature = inspect.signature(function)
    given: list[str] = []
    for one in signature.parameters.values():
        if one.kind is one.KEYWORD_ONLY and "*" not in given:
            given.append("*")
        default = "Options()" if isinstance(one.default, Options) else repr(one.default)
        value = "" if one.default is one.empty else f" = {default}"
        given += [] if one.name == "self" else [f"{one.name}: {one.annotation}{value}"]
    arguments = "".join(f"    {one},\n" for one in given)
    text = f"{title}(\n{arguments}) -> {signature.return_annotation}" if given else f"{title}()"
    return "\n".join(
        [f"{level} {title}", "", "```python", text, "```", "", inspect.getdoc(function) or "", ""]
    )

"""One mutant: a copy of a sound checkpoint, with one file of it changed once to three times.

Law: everything follows from the random generator that is handed in.
"""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_DEEP = 100_000
_NUMBERS = (
    -1, 0, 1, 2, 3, 5, 7, 16, 31, 33, 64, 1000, 2**15, 2**16 + 1, 2**20, 2**31 - 1, 2**31, 2**32,
    2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**300, 0.5, -0.0, 1e-320, 1e-9, 1e308, 2.0,
)  # fmt: skip
_TEXTS = (
    "", "x", "..", "../x", "/etc/passwd", "a" * 10_000, "\x1b[2J\x1b]0;t\x07", "\u202e\u200b\u0000",
    "\ud800", "{}", "qwen2_vl", "qwen3_vl", "qwen2", "gpt2", "default", "mrope", "yarn", "linear",
    "dynamic", "mxfp4", "nvfp4", "affine", "silu", "gelu", "bfloat16", "<|im_end|>", "\n$(id)`id`",
)  # fmt: skip
_TEMPLATES = (
    "{% for i in range(10**9) %}{{ i }}{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{{ 'x' * 10**10 }}", "{{ 10 ** 10 ** 8 }}", "{% set x = [1] %}", "{{ raise_exception('no') }}",
    "{{ messages[9]['x'].y }}", "{% include '/etc/passwd' %}", "{{ '\x1b[2J' }}", "{% if %}", "{{",
    "{{ strftime_now('%' * 9) }}", "{{ messages|tojson(indent=10**9) }}", "<think>\n",
    "{{ cycler }}{{ lipsum(n=10**7) }}", "{{ '%s' | format(messages) * 99999 }}",
)  # fmt: skip
_DTYPES = (
    "F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "U32", "U64", "BOOL", "F8_E4M3",
    "C64", "", "X", 7, None,
)  # fmt: skip
_WEIGHTS = {
    "config.json": 30,
    "tokenizer.json": 18,
    "safetensors": 22,
    "model.safetensors.index.json": 10,
    "generation_config.json": 4,
    "preprocessor_config.json": 6,
    "chat_template.json": 5,
    "tokenizer_config.json": 2,
    "file": 3,
}


def make(base: Path, folder: Path, draw: random.Random, outside: Path) -> str:
    """Write a mutant of `base` into the new `folder`; return what was changed.

    Files that stay as they are become links to the base's, which must not be written to.
    """
    shutil.copytree(base, folder, copy_function=os.link)
    named = draw.choices([*_WEIGHTS], [*_WEIGHTS.values()])[0]
    if named == "file":
        return _another_kind(folder, draw, outside)
    if named == "safetensors":
        named = draw.choice(sorted(path.name for path in folder.glob("*.safetensors")))
    path = folder / named
    content = path.read_bytes() if path.exists() else b"{}"
    said = []
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content, what = _changed(named, content, draw)
        said.append(what)
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    return f"{named}: {'; '.join(said)}"


def _changed(named: str, content: bytes, draw: random.Random) -> tuple[bytes, str]:
    if draw.random() < 0.12:
        return _bytes_changed(content, draw)
    if named.endswith(".safetensors"):
        return _tensors_changed(content, draw)
    if named == "chat_template.json" or (named == "tokenizer_config.json" and draw.random() < 0.5):
        return _template_changed(content, draw)
    return _json_changed(content, draw)


def _bytes_changed(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    place = draw.randrange(len(content) + 1)
    changes: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("cut", lambda: content[:place]),
        ("empty", lambda: b""),
        ("noise", lambda: content[:place] + draw.randbytes(9) + content[place + 9 :]),
        ("longer", lambda: content[:place] + draw.randbytes(99) + content[place:]),
        ("zeros", lambda: content[:place] + bytes(min(4096, len(content) - place))),
        ("a mark of order", lambda: b"\xef\xbb\xbf" + content),
        ("twice", lambda: content + content),
        ("UTF-16", lambda: content[:100_000].decode("latin-1").encode("utf-16")),
    )
    what, change = draw.choice(changes)
    return change(), f"{what} at {place}"


def _json_changed(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _bytes_changed(content, draw)
    within, key, path = _place(value, draw)
    if within is None:
        return json.dumps(_value(draw, value)).encode(), "the whole"
    match draw.randrange(10):
        case 0:
            del within[key]
            what = "none"
        case 1 if isinstance(within, dict):
            other = draw.choice([*within])
            within[key], within[other] = within[other], within[key]
            what = f"as {str(other)[:40]}"
        case 2 if isinstance(within, dict):
            within[draw.choice(_TEXTS) or "y"] = _value(draw, within[key])
            what = "another key"
        case 3:
            return _deep(value, within, key, draw), f"{path} deep"
        case _:
            within[key] = _value(draw, within[key])
            what = json.dumps(within[key])[:60]
    return json.dumps(value).encode("utf-8", "surrogatepass"), f"{path} = {what}"


def _deep(value: Any, within: Any, key: Any, draw: random.Random) -> bytes:
    """The text with something deep, long or no number at one place."""
    within[key] = "PLACE"
    spelled = draw.choice(
        ("[" * _DEEP, "[" * _DEEP + "]" * _DEEP, '{"a":' * 70 + "1" + "}" * 70, "NaN", "-Infinity",
         "1e999", "9" * 5000, "0" * 9, '"\\ud800"', '{"a": 1, "a": 2}', "[" + "0," * 9999 + "0]")
    )  # fmt: skip
    return json.dumps(value).replace('"PLACE"', spelled, 1).encode("utf-8", "surrogatepass")


def _place(value: Any, draw: random.Random) -> tuple[Any, Any, str]:
    """A random place within `value`: what holds it, its key, and its path; None at the top."""
    within: Any = None
    key: Any = None
    path = ""
    while isinstance(value, dict | list) and value and (within is None or draw.random() < 0.85):
        within = value
        key = draw.choice([*value]) if isinstance(value, dict) else draw.randrange(len(value))
        value = value[key]
        path += f".{str(key)[:40]}"
    return within, key, path


def _value(draw: random.Random, before: object) -> object:
    """Something else; for a number often one that is near."""
    if isinstance(before, int | float) and not isinstance(before, bool) and draw.random() < 0.4:
        return draw.choice([before + 1, before - 1, before * 2, -before, before // 2, before * 8])
    others: tuple[object, ...] = (
        None, True, False, [], {}, [1], ["x"], {"a": 1}, [[0]], [before] * 3, {"x": before},
    )  # fmt: skip
    return draw.choice([draw.choice(others), draw.choice(_NUMBERS), draw.choice(_TEXTS)])


def _template_changed(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return _bytes_changed(content, draw)
    template = value.get("chat_template") if isinstance(value, dict) else None
    if not isinstance(template, str):
        return _json_changed(content, draw)
    place, piece = draw.randrange(len(template) + 1), draw.choice(_TEMPLATES)
    changed = draw.choice(
        (template[:place], piece, template[:place] + piece + template[place:], piece + template,
         template[:place] + template[place + 9 :])
    )  # fmt: skip
    value["chat_template"] = changed
    return json.dumps(value).encode(), f"template {piece[:30]} at {place}"


def _tensors_changed(content: bytes, draw: random.Random) -> tuple[bytes, str]:
    """Change the header of a safetensors file, or the numbers behind it."""
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else 0
    header, data = content[8 : 8 + size], content[8 + size :]
    kind = draw.randrange(12)
    if kind == 0:
        length = draw.choice((0, 1, 2**31, 2**62, 2**64 - 1, size + 1, size - 1, len(content)))
        return struct.pack("<Q", length % 2**64) + content[8:], f"a header of {length}"
    if kind == 1 and data:
        place = draw.randrange(len(data))
        noise = draw.choice((b"\xff" * 64, bytes(4096), draw.randbytes(64)))
        return content[:8] + header + data[:place] + noise + data[place + len(noise) :], "numbers"
    try:
        value = json.loads(header)
        what = _header_changed(value, kind, draw)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _bytes_changed(content, draw)
    changed = json.dumps(value).encode("utf-8", "surrogatepass")
    if not what:
        changed, what = _json_changed(header, draw)
    return struct.pack("<Q", len(changed)) + changed + data, f"header {what}"


def _header_changed(value: Any, kind: int, draw: random.Random) -> str:
    """Change what is said of one tensor, or of two; return what, '' for nothing.

    Raises what a value that is no header raises.
    """
    names = [name for name in value if name != "__metadata__"]
    one, other = draw.choice(names), draw.choice(names)
    tensor = value[one]
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    match kind:
        case 2:
            tensor["dtype"] = draw.choice(_DTYPES)
        case 3 if isinstance(shape, list):
            others = [shape[::-1], shape[:-1], [*shape, 1], [], [0]]
            tensor["shape"] = draw.choice([*others, draw.choices(_NUMBERS, k=len(shape))])
        case 4 if isinstance(shape, list) and shape:  # the same count in another shape
            total = math.prod(side for side in shape if isinstance(side, int))
            tensor["shape"] = draw.choice([[total], [total, 1], [1, total], [2, total // 2]])
        case 5 if isinstance(offsets, list) and offsets:
            offsets[draw.randrange(len(offsets))] = draw.choice(_NUMBERS)
        case 6:
            value[one], value[other] = value[other], value[one]
        case 7:
            value[draw.choice([one + ".scales", one[:-1], *_TEXTS])] = value.pop(one)
        case 8:
            del value[one]
        case 9:
            value[one.rpartition(".")[0] + draw.choice((".scales", ".biases"))] = value[other]
        case _:
            return ""
    return f"{one} of kind {kind}"


def _another_kind(folder: Path, draw: random.Random, outside: Path) -> str:
    """One file becomes a pipe, a folder, a link, or far too large."""
    path = draw.choice(sorted(folder.iterdir()))
    path.unlink()
    what = draw.choice(("pipe", "folder", "link", "device", "sparse", "gone", "loop"))
    match what:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to(outside)
        case "device":
            path.symlink_to("/dev/zero")
        case "sparse":
            with path.open("wb") as file:
                file.truncate(3 * 2**30)
        case "loop":
            path.symlink_to(path.name)
        case _:
            pass
    return f"{path.name}: {what}"

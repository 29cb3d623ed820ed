"""Finds what an answer points at: boxes and points, in the numbers that the model wrote.

    <|object_ref_start|>a dog<|object_ref_end|><|box_start|>(176,106),(232,160)<|box_end|>
    <|point_start|>(204,133)<|point_end|>             the tokens of Qwen2-VL and QVQ
    [{"bbox_2d": [176, 106, 232, 160], "label": "a dog"}, {"point_2d": [204, 133]}]
                                                      the JSON of Qwen2.5-VL and Qwen3-VL
    <points x1="204" y1="133" alt="a dog">a dog</points>        the XML of Qwen2.5-VL

Law: linear in the text; nothing is raised. A pair of pairs, or a list of four numbers, that nothing
names as a box is none, unless boxes were asked for (`bare`) and nothing else is there: an answer
about geometry is full of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from qvq_mlx.pointing.in_json import bare as bare_tables
from qvq_mlx.pointing.in_json import of_values
from qvq_mlx.pointing.lenient_json import Row, Table, outermost
from qvq_mlx.pointing.marks import Fault, Found, Mark, boxes, numbers_in, points, polygon, quoted

_TOKEN = re.compile(r"<\|(object_ref|box|quad|point)_(start|end)\|>")
_N = r"\s*+[-+]?\d{1,9}+(?:\.\d{0,9}+)?\s*+"
_PAIR = rf"\({_N},{_N}\)"
_BOX = re.compile(rf"{_PAIR}\s*+,?\s*+{_PAIR}")
_BEHIND_LABEL = re.compile(rf"\s*+[::]?\s*+{_BOX.pattern}")
_MENTION = re.compile(r"(picture|image|photo|page|图片|图像|图)\s?#?(\d{1,4})", re.IGNORECASE)
_ELEMENT = re.compile(r"<points?\s([^<>]{0,4000}+)>")
_ATTRIBUTE = re.compile(r"""([a-z]{1,5}+)(\d{0,4}+)\s?=\s?["']([^"'<>]{0,200}+)["']""")
_SPELLED = re.compile(
    r"<\|(box|point|quad)_start\|>([^<]{0,200}+)<\|\1_end\|>"
    r"|<\|(?:object_ref|box|quad|point)_(?:start|end)\|>"
)


def found(text: str, *, bare: bool = False) -> list[Found]:
    """Marks and faults, in the order of the text."""
    values = outermost(text)
    seen = [*_of_tokens(text), *_of_elements(text), *of_values(values)]
    if bare and not any(isinstance(one, Mark) for one in seen):
        seen += _bare(text, values)
    seen.sort(key=lambda one: one.at)
    return list(_with_mentions(text, seen, values))


def readable(text: str, before: str = "") -> str:
    """`text` as a person reads it: `a dog (176,106)-(232,160)`, without the tokens.

    `before` is what was read before it: a space goes between a label and its numbers.
    """
    if "<|" not in text:
        return text
    parts: list[str] = []
    end, last = 0, before[-1:]
    for token in _SPELLED.finditer(text):
        plain = text[end : token.start()]
        numbers = (token[2] or "").strip()
        if token[1] == "box":
            numbers = numbers.replace("),(", ")-(")
        last = plain[-1:] or last
        space = " " if numbers and last and not last.isspace() else ""
        parts += (plain, space, numbers)
        end, last = token.end(), numbers[-1:] or last
    return "".join(parts) + text[end:]


def _of_tokens(text: str) -> Iterator[Found]:
    """Read the text between the tokens. A label holds until the next one."""
    label: str | None = None
    tokens = list(_TOKEN.finditer(text))
    for number, token in enumerate(tokens):
        following = tokens[number + 1] if number + 1 < len(tokens) else None
        content = text[token.end() : following.start() if following else len(text)]
        kind = token[1]
        if token[2] == "end":
            if kind == "object_ref" and (plain := _BEHIND_LABEL.match(content)):
                yield from boxes(numbers_in(plain[0]), label, token.start())
        elif kind == "object_ref":
            label = content.strip() or None
        else:
            if not (following and following[1] == kind and following[2] == "end"):
                yield Fault("cut", f"a {kind} is not closed: {quoted(content)}", token.start())
            # at the end of the text the last number may lack digits
            if following or _BOX.match(content):
                make = {"box": boxes, "point": points, "quad": polygon}[kind]
                yield from make(numbers_in(content), label, token.start())


def _of_elements(text: str) -> Iterator[Found]:
    """Points as attributes: x1 and y1, x2 and y2, or x and y."""
    for element in _ELEMENT.finditer(text):
        label: str | None = None
        xs: dict[str, float] = {}
        ys: dict[str, float] = {}
        for attribute in _ATTRIBUTE.finditer(element[1]):
            name, number, value = attribute.groups()
            if name == "alt":
                label = value.strip() or None
            elif name in ("x", "y") and len(numbers_in(value)) == 1:
                (xs if name == "x" else ys)[number] = numbers_in(value)[0]
        if xs.keys() != ys.keys() or not xs:
            problem = f"points with {len(xs)} x and {len(ys)} y that belong together: left out"
            yield Fault("count", problem, element.start())
            continue
        for number, x in xs.items():
            yield from points((x, ys[number]), label, element.start())


def _bare(text: str, values: Sequence[Row | Table]) -> Iterator[Found]:
    marks = list(bare_tables(values))
    for pairs in _BOX.finditer(text):
        of_pairs = boxes(numbers_in(pairs[0]), None, pairs.start())
        marks += [one for one in of_pairs if isinstance(one, Mark)]
    for mark in marks:
        yield mark
        yield Fault("bare", "four numbers are taken for a box, though nothing says so", mark.at)


def _with_mentions(
    text: str, seen: Sequence[Found], values: Sequence[Row | Table]
) -> Iterator[Found]:
    """Each with the last `Picture 2` before it; a label in JSON does not speak of the next one."""
    if not seen:
        return
    last: tuple[str, int] | None = None
    place = 0
    mentions = _MENTION.finditer(text)
    coming = next(mentions, None)
    for one in seen:
        while coming is not None and coming.start() <= one.at:
            while place < len(values) and values[place].end <= coming.start():
                place += 1
            if place == len(values) or values[place].start > coming.start() or values[place].cut:
                kind = "page" if coming[1].lower() == "page" else "picture"
                last = (kind, int(coming[2]))
            coming = next(mentions, None)
        yield replace(one, mention=last)

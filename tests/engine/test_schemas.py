"""Schemas as people write them: every answer satisfies its schema, or the schema is refused."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import numpy as np
import pytest

from qvq_mlx.core.errors import UsageError
from qvq_mlx.engine.constraint import SchemaHold
from qvq_mlx.engine.grammar import problem_with
from qvq_mlx.engine.vocabulary import Vocabulary
from qvq_mlx.run.schema_text import check_enforced, read_schema

WORD = {"type": "string", "maxLength": 12}
NUMBER = {"type": "number", "minimum": 0, "maximum": 999}


def record(required: str = "", **properties: Any) -> dict[str, Any]:
    names = required.split() if required else list(properties)
    return {
        "type": "object",
        "properties": properties,
        "required": names,
        "additionalProperties": False,
    }


def rows(of: Any, least: int = 0, most: int = 3) -> dict[str, Any]:
    return {"type": "array", "items": of, "minItems": least, "maxItems": most}


ITEM = record(name=WORD, price=NUMBER, quantity={"type": "integer", "minimum": 1, "maximum": 99})
POINT = record(x={"type": "integer"}, y={"type": "integer"})
ENFORCED: dict[str, Any] = {
    "yes or no": {"enum": ["yes", "no"]},
    "choice of a letter": {"type": "string", "enum": ["A", "B", "C", "D"]},
    "mixed enum": {"enum": ["low", 1, None, True]},
    "constant": {"const": {"version": 1}},
    "boolean": {"type": "boolean"},
    "percent": {"type": "integer", "minimum": 0, "maximum": 100},
    "price": {"type": "number", "minimum": 0, "exclusiveMaximum": 1000},
    "cents": {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 500},
    "count and sure": record(count={"type": "integer"}, sure={"type": "boolean"}),
    "receipt": record(shop=WORD, items=rows(ITEM, 1), total=NUMBER, currency={"enum": ["EUR"]}),
    "invoice date": record(date={"type": "string", "format": "date"}, number=WORD),
    "date-time": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "e-mail": record(email={"type": "string", "format": "email"}),
    "uuid": {"type": "string", "format": "uuid"},
    "address": {"type": "string", "format": "ipv4"},
    "number plate": {"type": "string", "pattern": "^[A-Z]{1,3}-[A-Z]{1,2} [1-9][0-9]{0,3}$"},
    "hex colour": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
    "short text": {"type": "string", "minLength": 1, "maxLength": 8},
    "nullable": record(name={"type": ["string", "null"], "maxLength": 5}),
    "optional": record("title", title=WORD, subtitle=WORD, year={"type": "integer"}),
    "any of": {"anyOf": [WORD, {"type": "integer"}, {"type": "null"}]},
    "one of, apart": {"oneOf": [{"type": "string", "maxLength": 4}, {"type": "integer"}]},
    "pydantic optional": record(age={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    "definitions": {"$ref": "#/$defs/Point", "$defs": {"Point": POINT}},
    "draft 7 definitions": {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"point": POINT},
        **rows({"$ref": "#/definitions/point"}, 1),
    },
    "tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": record("value", value={"type": "integer"}, left={"$ref": "#/$defs/node"})
        },
    },
    "tuple": {"type": "array", "prefixItems": [WORD, NUMBER], "items": False, "minItems": 2},
    "box": rows({"type": "integer", "minimum": 0, "maximum": 999}, 4, 4),
    "boxes with labels": rows(record(label=WORD, box=rows({"type": "integer"}, 4, 4))),
    "table": record(header=rows(WORD, 1), rows=rows(rows(WORD, 1), 1)),
    "map": {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 3},
    "pattern keys": {
        "type": "object",
        "patternProperties": {"^q[0-9]$": {"enum": ["A", "B"]}},
        "additionalProperties": False,
        "maxProperties": 3,
    },
    "all of": {"allOf": [record("a", a=WORD) | {"additionalProperties": True}, {"type": "object"}]},
    "chinese keys": record(姓名=WORD, 年龄={"type": "integer"}),
    "chinese values": {"enum": ["红色", "蓝色", "绿色"]},
    "umlauts and quotes": record(**{'Größe "L"': {"enum": ["groß", 'sehr "groß"', "a\\b"]}}),
    "annotated": {"title": "T", "description": "d", "examples": [1], "default": 3, **NUMBER},
    "OpenAPI": record(kind={"enum": ["cat"], "example": "cat", "x-order": 1}),
    "nested": record(a=record(b=record(c=record(d={"type": "boolean"})))),
}
REFUSED: dict[str, tuple[Any, str]] = {
    "set of tags": ({"type": "array", "items": WORD, "uniqueItems": True}, "uniqueItems"),
    "not": ({"not": {"type": "string"}}, "not"),
    "if and then": ({"type": "object", "if": {}, "then": {}}, "if"),
    "remote": ({"$ref": "https://example.com/schema.json"}, "example.com"),
    "look-ahead": ({"type": "string", "pattern": "^(?=.*x)"}, "look-around"),
    "impossible": ({"type": "integer", "minimum": 5, "maximum": 3}, "minimum"),
    "unknown format": ({"type": "string", "format": "colour"}, "colour"),
    "one of, overlapping": (
        {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object"}]},
        "oneOf",
    ),
}


def written(vocabulary: Vocabulary, schema: Any, seed: int) -> str | None:
    """An answer drawn at random from what is allowed, in favour of what ends things; None where it
    does not end.
    """
    end = vocabulary.special("<|im_end|>")
    hold = SchemaHold(vocabulary, frozenset([end]), json.dumps(schema))
    draw, ids = random.Random(seed), []
    closing = [i for i, piece in enumerate(vocabulary.pieces) if piece[:1] in (b'"', b"}", b"]")]
    ends = np.zeros(vocabulary.size, dtype=bool)
    ends[[*closing, end]] = True
    for _ in range(400):
        allowed = hold.now()
        assert allowed.any()
        likely = allowed & ends if draw.random() < 0.6 else allowed
        token = int(draw.choice(np.flatnonzero(likely if likely.any() else allowed)))
        if token == end:
            assert hold.met
            return b"".join(map(vocabulary.piece, ids)).decode()
        ids.append(token)
        hold.take(token)
    return None


def test_there_are_enough() -> None:
    assert len(ENFORCED) + len(REFUSED) >= 44


@pytest.mark.parametrize("schema", ENFORCED.values(), ids=ENFORCED)
def test_every_answer_satisfies_its_schema(vocabulary: Vocabulary, schema: Any) -> None:
    given = json.loads(read_schema(json.dumps(schema)))
    assert given == schema
    check_enforced(json.dumps(given))
    answers = [written(vocabulary, given, seed) for seed in range(8)]
    whole = [answer for answer in answers if answer is not None]
    assert whole
    for answer in whole:
        jsonschema.validate(
            json.loads(answer), schema, format_checker=jsonschema.FormatChecker(["ipv4", "email"])
        )


@pytest.mark.parametrize(("schema", "why"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_enforced_is_refused_with_the_reason(schema: Any, why: str) -> None:
    with pytest.raises(UsageError, match="cannot be enforced") as caught:
        check_enforced(read_schema(json.dumps(schema)))
    assert why in caught.value.message
    assert "\n" not in caught.value.message


def test_a_problem_is_known_without_a_model() -> None:
    assert problem_with('{"type": "object"}') == ""
    assert "strng" in problem_with('{"type": "strng"}')

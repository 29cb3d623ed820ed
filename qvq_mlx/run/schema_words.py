"""The words of a JSON schema: which are known, and the first that is not.

Law: JSON Schema lets a validator ignore words that it does not know, so that a misspelt one holds
nothing and nobody notices. Here an unknown word is refused, unless it is one that is known to say
nothing of the value (annotations of JSON Schema, OpenAPI and editors, and any `x-...`).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

_ONE = (
    "additionalProperties additionalItems contains else if items not propertyNames then"
    " unevaluatedItems unevaluatedProperties contentSchema"
)
_SEVERAL = "allOf anyOf oneOf prefixItems items"
_BY_NAME = "properties patternProperties $defs definitions dependentSchemas dependencies"
_VALUES = (
    "type enum const format pattern minLength maxLength minimum maximum exclusiveMinimum"
    " exclusiveMaximum multipleOf minItems maxItems uniqueItems minContains maxContains required"
    " minProperties maxProperties dependentRequired $ref $dynamicRef $recursiveRef nullable"
    " contentEncoding contentMediaType"
)
_ANNOTATIONS = (
    "$id id $schema $anchor $dynamicAnchor $recursiveAnchor $vocabulary $comment title description"
    " default examples example deprecated readOnly writeOnly discriminator externalDocs xml"
    " propertyOrdering order enumNames enumDescriptions markdownDescription errorMessage"
    " defaultSnippets tsType javaType"
)
_HOLDS_ONE = frozenset(_ONE.split())
_HOLDS_SEVERAL = frozenset(_SEVERAL.split())
_HOLDS_BY_NAME = frozenset(_BY_NAME.split())
_HOLDING = sorted({*_HOLDS_ONE, *_HOLDS_SEVERAL, *_HOLDS_BY_NAME, *_VALUES.split()})
_KNOWN = frozenset({*_HOLDING, *_ANNOTATIONS.split()})
_DEEPEST = 200


def unknown_word(schema: object) -> tuple[str, str] | None:
    """The first unknown word with the path to it, such as `properties.age`; None for none.

    Raises ValueError for a schema that is nested too deeply.
    """
    return next(_unknown(schema, ()), None)


def meant_by(word: str) -> str:
    """The known word that is nearest to a misspelt one; '' where none is near."""
    by_case = {known.casefold(): known for known in _HOLDING}
    near = difflib.get_close_matches(word.casefold(), by_case, n=1, cutoff=0.7)
    return by_case[near[0]] if near else ""


def _unknown(schema: object, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not isinstance(schema, dict):
        return
    if len(path) > _DEEPEST:
        raise ValueError(f"it is nested more than {_DEEPEST} levels deep")
    for word in schema:
        if word not in _KNOWN and not word.startswith("x-"):
            yield word, ".".join(path)
    for word, value in schema.items():
        if word in _HOLDS_BY_NAME and isinstance(value, dict):
            for name, part in value.items():
                yield from _unknown(part, (*path, word, name))
        elif word in _HOLDS_SEVERAL and isinstance(value, list):
            for part in value:
                yield from _unknown(part, (*path, word))
        elif word in _HOLDS_ONE:
            yield from _unknown(value, (*path, word))

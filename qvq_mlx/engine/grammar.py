"""A JSON schema as the grammar that llguidance enforces, and why one cannot be enforced.

Law: whether a schema can be enforced is known without a model: a grammar is of bytes, and the
tokenizer of a model only cuts them. So it is asked here before anything heavy is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer
    from llguidance._lib import JsonCompileOptions

# no spaces but those of json.dumps: a model may else fill lines with them for ever
_COMPACT: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}


def matcher(tokenizer: LLTokenizer, schema: str) -> LLMatcher:
    """Compile `schema` (JSON text) for a tokenizer. Raises ValueError that says what is wrong."""
    from llguidance import LLMatcher

    made = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(schema, overrides=_COMPACT))
    if problem := made.get_error():
        raise ValueError(problem)
    return made


def problem_with(schema: str) -> str:
    """Why `schema` (JSON text) cannot be enforced, in one line; '' where it can."""
    from llguidance import LLTokenizer

    try:
        matcher(LLTokenizer("byte"), schema)
    except ValueError as error:
        return " ".join(str(error).split())[:200] or "it has no grammar"
    return ""

"""Checks a tokenizer.json before the native library reads it.

Law: the library believes the file. A large id makes it allocate a table of that length, a merge of
an unknown token ends it, a normalizer that replaces text can make it grow without end. So only
byte-level BPE passes, with the parts that published checkpoints have, and every number is bounded.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from qvq_mlx.system.reading import parse_json

MAX_BYTES = 2**26
"""The largest published one, of 262,000 tokens, has 33 MB."""
MOST_IDS = 2**20
"""Of any tokenizer, where the model that it belongs to is not known."""
_LONGEST_TOKEN_CHARS = 4096
_LONGEST_PATTERN_CHARS = 4096
_PARTS = {
    "normalizer": ("NFC", "NFD", "NFKC", "NFKD", "Sequence"),
    "pre_tokenizer": ("ByteLevel", "Digits", "Split", "Sequence"),
    "post_processor": ("ByteLevel", "TemplateProcessing", "Sequence"),
    "decoder": ("ByteLevel", "Fuse", "Sequence"),
}
_WITHIN = ("normalizers", "pretokenizers", "processors", "decoders")


def check(content: bytes, characters: Container[str], rows: int = MOST_IDS) -> None:
    """Raise ValueError where the file is none that this version reads.

    `characters` are the ones that a token's text may have; `rows` are those of the model's
    embedding, and every id is below them.
    """
    file = parse_json(content)
    if not isinstance(file, dict):
        raise ValueError("it holds no JSON object")
    for name, known in _PARTS.items():
        _check_part(name, file.get(name), known)
    model = file.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        raise ValueError("its model is no BPE")
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise ValueError(f"it has a {name}, which no byte-level BPE has")
    vocabulary = model.get("vocab")
    if not isinstance(vocabulary, dict) or not vocabulary:
        raise ValueError("it has no vocabulary")
    added = _added(file.get("added_tokens") or [])
    for token, token_id in (*vocabulary.items(), *added.items()):
        if len(token) > _LONGEST_TOKEN_CHARS or not token:
            raise ValueError(f"it has a token of {len(token):,} characters")
        if type(token_id) is not int or not 0 <= token_id < min(rows, MOST_IDS):
            raise ValueError(
                f"its token {token[:40]!r} has the id {str(token_id)[:40]}, and the model has"
                f" {rows:,} ids"
            )
    for token in vocabulary:
        if token not in added and not all(character in characters for character in token):
            raise ValueError(f"its token {token[:40]!r} is not written in bytes")
    _check_merges(model.get("merges"), vocabulary)


def _added(entries: object) -> dict[str, object]:
    """The ids of the added tokens by their text."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("its added tokens are no list of objects")
    found = {entry.get("content"): entry.get("id") for entry in entries}
    if not all(isinstance(text, str) for text in found):
        raise ValueError("an added token has no text")
    return found


def _check_part(name: str, part: object, known: tuple[str, ...]) -> None:
    """Parts may be sequences of parts; how deep is bounded by the JSON reader."""
    if part is None:
        return
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(part, dict) or kind not in known:
        raise ValueError(f"its {name} is {str(kind)[:40]!r}; {', '.join(known)} are read")
    pattern = part.get("pattern")
    if isinstance(pattern, dict):
        pattern = pattern.get("Regex", pattern.get("String"))
    if isinstance(pattern, str) and len(pattern) > _LONGEST_PATTERN_CHARS:
        raise ValueError(f"its {name} has a pattern of {len(pattern):,} characters")
    if kind == "Sequence":
        within = next((part[key] for key in _WITHIN if key in part), None)
        if not isinstance(within, list):
            raise ValueError(f"its {name} is a sequence of nothing")
        for one in within:
            _check_part(name, one, known)


def _check_merges(merges: object, vocabulary: Mapping[str, object]) -> None:
    """Each merge is two tokens, as a list or as text with a space, and what they make is one."""
    if not isinstance(merges, list) or len(merges) > MOST_IDS:
        raise ValueError("it has no list of merges")
    for merge in merges:
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"its merge {str(merge)[:40]!r} is no pair")
        one, other = pair
        if not isinstance(one, str) or not isinstance(other, str):
            raise ValueError(f"its merge {str(merge)[:40]!r} is no pair")
        if one not in vocabulary or other not in vocabulary or one + other not in vocabulary:
            raise ValueError(f"its merge {str(merge)[:40]!r} is not within its vocabulary")

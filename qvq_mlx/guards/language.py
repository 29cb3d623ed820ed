"""Tell scripts apart: those of a text, and those an answer may be written in.

Law: scripts are counted in letters, over text without code, formulas and boxes: a variable is not
a language. An answer is held to a language only where the user named one (`held_scripts`). `auto`
makes no name, quotation or transcription impossible: it only says where the explanation has left
the question's language (`expected_scripts`, `leaves`). The thinking is never held to a language,
because forcing one on it costs correct answers (arXiv 2507.15849), so mixed thinking is only a
notice. Latin and Greek are always allowed: names, units and variables. Languages that share a
script are not told apart. Every function is linear in the length of its text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import Field, Show


class Script(StrEnum):
    """The scripts that are told apart."""

    LATIN = "latin"
    GREEK = "greek"
    CYRILLIC = "cyrillic"
    HEBREW = "hebrew"
    ARABIC = "arabic"
    DEVANAGARI = "devanagari"
    THAI = "thai"
    HAN = "han"
    KANA = "kana"
    HANGUL = "hangul"
    OTHER = "other"


ALWAYS = frozenset({Script.LATIN, Script.GREEK})
_NOTICED_LETTERS = 4  # fewer are a name or a quoted word

_RANGES = {
    Script.GREEK: "\u0370-\u03ff\u1f00-\u1fff",
    Script.CYRILLIC: "\u0400-\u052f",
    Script.HEBREW: "\u0590-\u05ff",
    Script.ARABIC: "\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
    Script.DEVANAGARI: "\u0900-\u097f",
    Script.THAI: "\u0e00-\u0e7f",
    Script.HAN: "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f",
    Script.KANA: "\u3041-\u30ff\u31f0-\u31ff",
    Script.HANGUL: "\u1100-\u11ff\u3130-\u318f\uac00-\ud7af",
}
RUNS = {script: re.compile(f"[{ranges}]+") for script, ranges in _RANGES.items()}
_LEADS = {Script.HAN: range(0xE4, 0xEA), Script.HANGUL: range(0xEB, 0xED)}
_LETTERS = re.compile(r"[^\W\d_]+")
_ASCII = re.compile(r"[\x00-\x7f]+")
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_LATIN = re.compile("[\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff\uff21-\uff5a]+")

# opening, closing: what is no prose. In this order: a dollar sign within code is code.
_NOT_PROSE = (("```", "```"), ("`", "`"), ("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"), ("$", "$"))
_LONGEST_INLINE_CHARS = 300  # a dollar sign or a backtick that is far from the next one is a char
_BOXED = re.compile(r"\\boxed\s*\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|\\[A-Za-z]+")


_QUOTED = re.compile(
    "|".join(
        f"{begin}[^{end}\n]{{0,300}}{end}"
        for begin, end in ('""', "“”", "«»", "「」", "『』", "《》", "„“")
    )
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that `--lang` names, the scripts it is written in, and what people call it."""

    code: str
    scripts: frozenset[Script]
    names: tuple[str, ...]


def _language(code: str, scripts: tuple[Script, ...], *names: str) -> Language:
    return Language(code, frozenset(scripts) | ALWAYS, names)


_KNOWN = (
    _language("en", (), "English", "英文", "英语"),
    _language("zh", (Script.HAN,), "Chinese", "Mandarin", "中文", "汉语", "汉字"),
    _language("ja", (Script.HAN, Script.KANA), "Japanese", "kanji", "kana", "日语", "日本語"),
    _language("ko", (Script.HANGUL,), "Korean", "Hangul", "韩语", "한국어"),
    _language("ru", (Script.CYRILLIC,), "Russian", "Cyrillic", "俄语", "русск"),
    _language("uk", (Script.CYRILLIC,), "Ukrainian", "україн"),
    _language("bg", (Script.CYRILLIC,), "Bulgarian"),
    _language("el", (), "Greek"),
    _language("he", (Script.HEBREW,), "Hebrew", "עברית"),
    _language("ar", (Script.ARABIC,), "Arabic", "العربية"),
    _language("fa", (Script.ARABIC,), "Persian", "Farsi", "فارسی"),
    _language("hi", (Script.DEVANAGARI,), "Hindi", "Sanskrit", "हिन्दी"),
    _language("th", (Script.THAI,), "Thai", "ไทย"),
    *(_language(code, ()) for code in ("cs", "da", "de", "es", "fi", "fr", "hu", "id", "it")),
    *(_language(code, ()) for code in ("nl", "no", "pl", "pt", "ro", "sv", "tr", "vi")),
)
AUTO, OFF = "auto", "off"
_READS = re.compile(
    r"\b(read|transcri|translat|ocr|text|written|writing|inscription|sign|label|caption|spell"
    r"|letters?\b|characters?\b|words?\b|say|says|symbols?\b|language|script)",
    re.IGNORECASE,
)


def parse_lang(text: str) -> str:
    """Read a language: `auto`, `off`, or the code of a known one. Raises UsageError."""
    code = text.strip().casefold()
    codes = [AUTO, OFF, *(language.code for language in _KNOWN)]
    if code in codes:
        return code
    if (short := re.split("[-_]", code)[0]) in codes[2:]:
        return short  # en-GB, zh_CN
    raise UsageError((Field.LANG, f" is {text!r}; it can be {', '.join(codes)}"), Show.ASK_HELP)


def held_scripts(lang: str) -> frozenset[Script] | None:
    """The scripts of the language that the user named; None for `auto` and `off`."""
    return next((language.scripts for language in _KNOWN if language.code == lang), None)


def expected_scripts(question: str, lang: str = AUTO, system: str = "") -> frozenset[Script] | None:
    """The scripts in which an explanation is expected; None where that cannot be told.

    `auto` expects those that the question is written in, and those of the languages that it or the
    user's `system` message names ("translate it into Chinese"); a question about what is written in
    the picture tells nothing.
    """
    if lang != AUTO:
        return held_scripts(lang)
    named = _named(question)
    if not named and _READS.search(question):
        return None
    asked = {script for script, letters in scripts(question).items() if letters}
    asked |= named | _named(system)
    if Script.KANA in asked:
        asked.add(Script.HAN)
    return frozenset(asked) | ALWAYS


def _named(question: str) -> set[Script]:
    """The scripts of the languages that a question names."""
    folded = question.casefold()
    named = [each for each in _KNOWN if any(name.casefold() in folded for name in each.names)]
    return {script for language in named for script in language.scripts}


def scripts(text: str) -> dict[Script, int]:
    """Letters for each script that occurs, most frequent first; code and formulas do not count."""
    plain = prose(text)
    ascii_letters = plain.encode("ascii", errors="ignore").translate(None, delete=_NO_LETTERS)
    counts: dict[Script, int] = {Script.LATIN: len(ascii_letters)}
    if not plain.isascii():
        others = _ASCII.sub("", plain)
        counts[Script.LATIN] += sum(map(len, _LATIN.findall(others)))
        for script, runs in RUNS.items():
            counts[script] = sum(map(len, runs.findall(others)))
        known = sum(counts.values()) - len(ascii_letters)
        counts[Script.OTHER] = max(sum(map(len, _LETTERS.findall(others))) - known, 0)
    ordered = sorted(counts.items(), key=lambda entry: -entry[1])
    found: dict[Script, int] = {script: letters for script, letters in ordered if letters}
    return found


def has_letter_outside(text: str, allowed: frozenset[Script]) -> bool:
    """True if any letter of `text` is of a script that is told apart and not in `allowed`."""
    return any(runs.search(text) for script, runs in RUNS.items() if script not in allowed)


def begins_letter_outside(piece: bytes, allowed: frozenset[Script]) -> bool:
    """True if `piece` ends within a character that can only be one of a script not in `allowed`.

    UTF-8's first byte tells blocks apart: E3 begins kana and CJK punctuation, E4 to E9 Han, EA to
    ED Hangul for the most part.
    """
    cut = piece[len(piece.decode("utf-8", errors="ignore").encode()) :]
    lead = cut[0] if cut else 0
    return any(lead in leads and script not in allowed for script, leads in _LEADS.items())


def strays(text: str, allowed: frozenset[Script] | None) -> dict[Script, int]:
    """The letters of scripts that are not allowed; empty where there are too few to speak of."""
    if allowed is None:
        return {}
    told_apart = allowed | {Script.OTHER}
    found = {s: n for s, n in scripts(text).items() if s not in told_apart}
    return found if sum(found.values()) >= _NOTICED_LETTERS else {}


def leaves(text: str, expected: frozenset[Script] | None) -> dict[Script, int]:
    """The stray letters of a text whose explanation left the expected scripts; else empty.

    That is where at least half of its letters are strays, quotations left out: an English answer
    may quote a Chinese sign.
    """
    unquoted = _QUOTED.sub(" ", text)
    found = strays(unquoted, expected)
    return found if 2 * sum(found.values()) >= sum(scripts(unquoted).values()) else {}


def prose(text: str) -> str:
    """`text` without code, formulas and boxes."""
    for opening, closing in _NOT_PROSE:
        if opening in text:
            text = _without(text, opening, closing)
    return _BOXED.sub(" ", text) if "\\" in text else text


def _without(text: str, opening: str, closing: str) -> str:
    limit = _LONGEST_INLINE_CHARS if len(opening) == 1 else len(text)
    kept: list[str] = []
    at = 0
    while (start := text.find(opening, at)) >= 0:
        end = text.find(closing, start + len(opening), start + len(opening) + limit)
        if end < 0 and len(opening) > 1:
            break  # never closed
        kept.append(text[at:start])
        at = start + len(opening) if end < 0 else end + len(closing)
    kept.append(text[at:])
    return " ".join(kept)

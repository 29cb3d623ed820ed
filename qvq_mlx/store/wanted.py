"""Which files of a repository a model needs.

Law: weights as safetensors, and text that says how to use them; never code, never a format that
can hold code. The same for what a Hub lists and for what an archive holds.
"""

from __future__ import annotations

_SUFFIXES = (".safetensors", ".json", ".txt", ".jinja", ".model", ".tiktoken", ".md")
_NAMES = ("LICENSE", "LICENCE", "NOTICE")
_FOLDERS = ("additional_chat_templates",)


def is_wanted(path: str) -> bool:
    """True if a model needs the file, or its licence asks for it."""
    folder, _, name = path.rpartition("/")
    return (not folder or folder in _FOLDERS) and (
        name.endswith(_SUFFIXES) or (name.upper().startswith(_NAMES) and "." not in name)
    )

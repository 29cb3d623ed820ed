"""The variables of Hugging Face's tools: the cache, the token, and whether the network is allowed.

Law: each is read as huggingface_hub's own constants read it, `$VAR` and `~` in a path included, so
that both find the same files. A token is read in the forms that editors and shells give it, and
checked here, where it is read; no message holds it.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from urllib.parse import urlsplit

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.remedies import RunProgram
from qvq_mlx.system.reading import read_bytes

_ENDPOINT = "https://huggingface.co"
_TOKEN_BYTES = 2**12
_TRUE = {"1", "true", "yes", "on"}
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\})")
_TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
_ASSIGNMENT = re.compile(rf"(?:export\s+|set\s+)?(?:{'|'.join(_TOKEN_VARIABLES)})\s*=\s*")
_OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def hub_cache(env: Env) -> Path:
    """Return the folder of Hugging Face's snapshots."""
    names = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
    found = next(filter(None, (_path(env, name) for name in names)), None)
    return found or _home(env) / "hub"


def offline_variable(env: Env) -> str:
    """The variable that forbids the network to Hugging Face's tools, '' where none does."""
    name = next((name for name in _OFFLINE_VARIABLES if env.environ.get(name)), "")
    return name if env.environ.get(name, "").lower() in _TRUE else ""


def endpoint(env: Env) -> str:
    """The address of the Hub. Raises ConfigError."""
    address = env.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
    try:
        parts = urlsplit(address)
        fine = parts.scheme in ("https", "http") and parts.hostname and parts.port != 0
    except ValueError:  # `http://[::1`, a port that is no number
        fine = None
    if not fine:
        raise ConfigError(f"HF_ENDPOINT is {address!r}; it can be an http or https address")
    return address


def token(env: Env) -> str:
    """`HF_TOKEN`, or what `hf auth login` saved; '' where neither is there, or where
    HF_HUB_DISABLE_IMPLICIT_TOKEN says that none is sent unasked.

    Raises ConfigError for one that no request can carry, or whose file cannot be read.
    """
    if env.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in _TRUE:
        return ""
    for name in _TOKEN_VARIABLES:
        if env.environ.get(name):
            return _checked(env.environ[name], name, RunProgram(("unset", name)))
    saved = _path(env, "HF_TOKEN_PATH") or _home(env) / "token"
    login = RunProgram(("hf", "auth", "login"))
    try:
        return _checked(_text(read_bytes(saved, _TOKEN_BYTES)), str(saved), login)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text of one line"
        raise ConfigError(f"the token in {saved} cannot be read: {why}", login) from None


def _text(data: bytes) -> str:
    """UTF-8, or UTF-16 as PowerShell writes a file, with its mark or without. Raises ValueError."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    if data[1:2] == b"\0":
        return data.decode("utf-16-le")
    if data[:1] == b"\0":
        return data.decode("utf-16-be")
    return data.decode("utf-8")


def _checked(text: str, place: str, remedy: RunProgram) -> str:
    """The token in a text: itself, in quotation marks, or as a shell's line that sets it."""
    found = text.replace("\r", "").replace("\n", "").strip().removeprefix("\ufeff").strip()
    found = _ASSIGNMENT.sub("", found, count=1)
    if len(found) > 1 and found[0] == found[-1] and found[0] in "\"'":
        found = found[1:-1].strip()
    if all("!" <= character <= "~" and character not in "\"'" for character in found):
        return found
    what = "characters that are not ASCII"
    if found.isascii():
        what = "white space" if found.isprintable() else "control characters"
        what = "a quotation mark" if '"' in found or "'" in found else what
    raise ConfigError(f"the token in {place} holds {what}", remedy)


def _home(env: Env) -> Path:
    if home := _path(env, "HF_HOME"):
        return home
    return (_path(env, "XDG_CACHE_HOME") or env.home / ".cache") / "huggingface"


def _path(env: Env, name: str) -> Path | None:
    """The variable as an absolute path; None where it is unset or empty."""
    value = env.environ.get(name, "")
    if not value:
        return None
    value = _VARIABLE.sub(lambda found: env.environ.get(found[1].strip("{}"), found[0]), value)
    if value == "~" or value.startswith("~/"):
        return env.home / value[2:]
    return Path(value).absolute()

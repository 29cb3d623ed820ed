"""What the user set outside of the command line: a config file and QVQ_ variables.

Law: defaults < config file < environment < flags, and nothing else in the project reads an
environment variable of qvq's or of the Hugging Face cache.

    ~/.config/qvq/config.toml      model = "tiny"
                                   thinking = "line"     # tail, full, line, none
                                   save = false          # keep no history

    QVQ_MODEL QVQ_THINKING QVQ_SAVE QVQ_HOME QVQ_CACHE_MAX QVQ_DEBUG QVQ_PACE
    HF_HUB_CACHE HF_HOME

QVQ_CACHE_MAX=2GiB caps the image-prefix cache (0: keep nothing). QVQ_PACE=8 holds a fast model to
8 tokens/s, to see what the screen does with a slow one.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.request import ThinkingView

DEFAULT_MODEL = "qvq-72b-preview"

DEFAULT_CACHE_MAX = "4GiB"

_KEYS = ("model", "thinking", "save")
_UNITS = {"": 1} | {
    letter + binary: (1024 if binary else 1000) ** power
    for power, letter in enumerate("kmgt", start=1)
    for binary in ("", "i")
}
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that holds for every command. Paths are absolute and need not exist.

    `pace_tokens_per_s` 0: as fast as it goes.
    """

    model: str
    view: ThinkingView | None
    save: bool
    pace_tokens_per_s: float
    history_folder: Path
    hub_cache: Path
    cache_folder: Path
    cache_max_bytes: int


def read(env: Env) -> Settings:
    """The settings in force. Raises ConfigError for a value or key that is not allowed."""
    home = _path(env, "QVQ_HOME")
    config_folder = home or _xdg(env, "XDG_CONFIG_HOME", ".config") / "qvq"
    data_folder = home or _xdg(env, "XDG_DATA_HOME", ".local/share") / "qvq"
    values = _file(config_folder / "config.toml")
    for key in _KEYS:
        if (value := env.environ.get(f"QVQ_{key.upper()}")) is not None:
            values[key] = value
    return Settings(
        model=str(values.get("model", DEFAULT_MODEL)),
        view=_view(values.get("thinking")),
        save=_flag("save", values.get("save", True)),
        pace_tokens_per_s=_number("QVQ_PACE", env.environ.get("QVQ_PACE", "") or "0"),
        history_folder=data_folder / "history",
        hub_cache=_hub_cache(env),
        cache_folder=home / "cache" if home else _caches(env) / "qvq",
        cache_max_bytes=_size("QVQ_CACHE_MAX", env.environ.get("QVQ_CACHE_MAX", "")),
    )


def debugging(env: Env) -> bool:
    """Whether a bug shows its traceback. Never raises: it is asked when something went wrong."""
    return env.environ.get("QVQ_DEBUG", "").strip().lower() in _TRUE


def _file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", f"cat {path}") from error
    for key in values:
        if key not in _KEYS:
            raise ConfigError(f"{path}: unknown key {key!r}; known: {', '.join(_KEYS)}")
    return values


def _view(value: object) -> ThinkingView | None:
    if value is None:
        return None
    try:
        return ThinkingView(str(value))
    except ValueError:
        known = ", ".join(ThinkingView)
        raise ConfigError(f"thinking is {value!r}; it can be {known}") from None


def _flag(name: str, value: object) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ConfigError(f"{name} is {value!r}; it can be 0 or 1")


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ConfigError(f"{name} is {value!r}; it can be a number of tokens/s, or 0")
    return number


def _size(name: str, value: str) -> int:
    """Bytes of `4GiB`, `500 MB` or a plain number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", (value or DEFAULT_CACHE_MAX).lower())
    unit = match[2].removesuffix("b") if match else ""
    if match is None or unit not in _UNITS:
        raise ConfigError(f"{name} is {value!r}; it can be a size such as 4GiB, or 0")
    return int(float(match[1]) * _UNITS[unit])


def _caches(env: Env) -> Path:
    """Where programs keep what they can compute again."""
    default = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return _xdg(env, "XDG_CACHE_HOME", default)


def _hub_cache(env: Env) -> Path:
    """Where Hugging Face tools keep snapshots. Source: huggingface_hub's constants."""
    if cache := _path(env, "HF_HUB_CACHE"):
        return cache
    home = _path(env, "HF_HOME") or _xdg(env, "XDG_CACHE_HOME", ".cache") / "huggingface"
    return home / "hub"


def _xdg(env: Env, name: str, default: str) -> Path:
    return _path(env, name) or env.home / default


def _path(env: Env, name: str) -> Path | None:
    """The variable as an absolute path; None where it is unset or empty."""
    value = env.environ.get(name, "")
    if not value:
        return None
    if value == "~" or value.startswith("~/"):
        return env.home / value[2:]
    return Path(value).absolute()

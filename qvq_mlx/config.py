"""What the user set outside of the command line: a config file and QVQ_ variables.

Law: defaults < config file < environment < flags, and nothing else in the project reads an
environment variable of qvq's or of the Hugging Face cache.

    ~/.config/qvq/config.toml      model = "tiny"
                                   thinking = "line"     # tail, full, line, none
                                   save = false          # keep no history

    QVQ_MODEL QVQ_THINKING QVQ_SAVE QVQ_HOME QVQ_DEBUG QVQ_PACE QVQ_STALL_S
    HF_HUB_CACHE HF_HOME HF_ENDPOINT HF_TOKEN HF_TOKEN_PATH

QVQ_PACE=8 holds a fast model to 8 tokens/s, to see what the screen does with a slow one.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qvq_mlx.core.download import HubAccess
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.request import ThinkingView

DEFAULT_MODEL = "qvq-72b-preview"

_ENDPOINT = "https://huggingface.co"

_KEYS = ("model", "thinking", "save")
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
    )


def hub(env: Env) -> HubAccess:
    """Where models are downloaded from, and with which token. Raises ConfigError."""
    endpoint = env.environ.get("HF_ENDPOINT", "").rstrip("/") or _ENDPOINT
    if not endpoint.startswith(("https://", "http://")):
        raise ConfigError(f"HF_ENDPOINT is {endpoint!r}; it can be an http or https address")
    stall_s = _number("QVQ_STALL_S", env.environ.get("QVQ_STALL_S", "") or "30", "seconds")
    return HubAccess(endpoint, _token(env), stall_s or 30.0)


def licences_file(env: Env) -> Path:
    """Which licences were accepted."""
    home = _path(env, "QVQ_HOME")
    return (home or _xdg(env, "XDG_DATA_HOME", ".local/share") / "qvq") / "licences.json"


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


def _number(name: str, value: str, unit: str = "tokens/s") -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < math.inf:
        raise ConfigError(f"{name} is {value!r}; it can be a number of {unit}, or 0")
    return number


def _token(env: Env) -> str:
    """`HF_TOKEN`, or what `hf auth login` saved; empty where neither is there."""
    if token := env.environ.get("HF_TOKEN", "").strip():
        return token
    saved = _path(env, "HF_TOKEN_PATH") or _hugging_face(env) / "token"
    try:
        return saved.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _hub_cache(env: Env) -> Path:
    """Where Hugging Face tools keep snapshots. Source: huggingface_hub's constants."""
    if cache := _path(env, "HF_HUB_CACHE"):
        return cache
    return _hugging_face(env) / "hub"


def _hugging_face(env: Env) -> Path:
    return _path(env, "HF_HOME") or _xdg(env, "XDG_CACHE_HOME", ".cache") / "huggingface"


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

"""Read the settings outside of the command line: a config file and QVQ_ variables.

Law: defaults < config file < environment < flags, and nothing else in the project but
`hugging_face` reads an environment variable of qvq's or of the Hugging Face cache.

    ~/.config/qvq/config.toml      model = "tiny"
                                   thinking = "line"     # tail, full, line, none
                                   save = false          # keep no history
                                   plain = true          # lines that stay, for a screen reader
                                   notify = false        # say nothing when a long run ends
                                   backup = false        # Time Machine leaves the models out
                                   budget = "low"        # as the options of a question are
                                   detail = "high"
                                   temperature = 0.2
                                   lang = "en"
                                   host = "http://studio:8080"    # it is asked instead

    QVQ_MODEL QVQ_THINKING QVQ_SAVE QVQ_PLAIN QVQ_NOTIFY QVQ_BUDGET QVQ_DETAIL QVQ_TEMPERATURE
    QVQ_LANG QVQ_HOST QVQ_HOST_KEY QVQ_HOME QVQ_CACHE_MAX QVQ_DEBUG QVQ_PACE
    QVQ_STALL_S QVQ_STDIN_S QVQ_OFFLINE, and those of Hugging Face's tools (`hugging_face.py`)

QVQ_CACHE_MAX=2GiB caps the image-prefix cache (0: keep nothing). QVQ_PACE=8 holds a fast model to
8 tokens/s, to see what the screen does with a slow one. QVQ_OFFLINE=1 or HF_HUB_OFFLINE=1: no
model and no picture is fetched.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ConfigError, UsageError
from qvq_mlx.core.remedies import ForgetSetting, RunProgram, Show
from qvq_mlx.core.request import Policy, ThinkingView
from qvq_mlx.core.sizes import parse_size
from qvq_mlx.settings import hugging_face
from qvq_mlx.settings.option_defaults import OPTION_KEYS, checked_option, option_defaults
from qvq_mlx.system.files import write_private
from qvq_mlx.system.outputs import output_place
from qvq_mlx.system.reading import read_text, read_toml, why

if TYPE_CHECKING:  # every command reads the settings, and few need these
    from qvq_mlx.core.host import Host
    from qvq_mlx.records.models import Setting
    from qvq_mlx.store.download import HubAccess

DEFAULT_CACHE_MAX = "4GiB"

_MAX_BYTES = 2**16
_DEFAULTS: dict[str, str | None] = {
    "model": None,
    "thinking": None,
    "save": "true",
    "plain": "false",
    "notify": "true",
    "backup": "true",
    "host": None,
    **dict.fromkeys(OPTION_KEYS),
}
KEYS = tuple(_DEFAULTS)
_WITHOUT_VARIABLE = {"backup"}  # it is done once, to a folder, and holds for no single command
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that holds for every command. Paths are absolute and need not exist.

    `options` are the keys and texts of the options that have a default of the user's.
    `pace_tokens_per_s` 0: as fast as it goes. `offline` names the variable that forbids the
    network, '' where none does. `unknown` are keys of the file that are no setting's. `host` is
    asked by the commands that can; None: none is.
    """

    model: str | None
    view: ThinkingView | None
    save: bool
    plain: bool
    notify: bool
    pace_tokens_per_s: float
    history_folder: Path
    hub_cache: Path
    cache_folder: Path
    cache_max_bytes: int
    cards_folder: Path
    offline: str = ""
    backup: bool = True
    options: tuple[tuple[str, str], ...] = ()
    unknown: tuple[str, ...] = ()
    host: Host | None = None

    def keeps(self, policy: Policy) -> bool:
        """True if a run under `policy` is saved: neither the user nor the request forbids it."""
        return self.save and policy.save


def read(env: Env) -> Settings:
    """The settings in force. Raises ConfigError for a value that is not allowed.

    A key that is not known is left out and named: one file serves Macs with several versions. One
    that may be meant for `save` raises, since a question would be kept that nobody wanted kept.
    """
    known, unknown = _file(path_of(env))
    return replace(_settings(env, known | _variables(env)), unknown=unknown)


def defaults(env: Env) -> Settings:
    """The defaults, in the user's places: for who has to go on where `read` raises."""
    places = {
        name: value
        for name, value in env.environ.items()
        if not name.startswith("QVQ_") or name == "QVQ_HOME"
    }
    return _settings(replace(env, environ=places), {})


def _settings(env: Env, values: dict[str, Any]) -> Settings:
    named = {key: f"QVQ_{key.upper()}" if key in _variables(env) else key for key in KEYS}
    for name in ("QVQ_OFFLINE", "QVQ_DEBUG"):
        _flag(name, env.environ.get(name) or "0")
    home = _path(env, "QVQ_HOME")
    data_folder = home or _xdg(env, "XDG_DATA_HOME", ".local/share") / "qvq"
    return Settings(
        model=_model(values.get("model")),
        view=_view(named["thinking"], values.get("thinking")),
        save=_flag(named["save"], values.get("save", True)),
        plain=_flag(named["plain"], values.get("plain", False)),
        notify=_flag(named["notify"], values.get("notify", True)),
        backup=_flag("backup", values.get("backup", True)),
        pace_tokens_per_s=_number("QVQ_PACE", env.environ.get("QVQ_PACE", "") or "0"),
        history_folder=data_folder / "history",
        hub_cache=hugging_face.hub_cache(env),
        cache_folder=home / "cache" if home else _caches(env),
        cache_max_bytes=_size("QVQ_CACHE_MAX", env.environ.get("QVQ_CACHE_MAX", "")),
        cards_folder=_cards_in(path_of(env)),
        offline=offline_variable(env),
        options=option_defaults(values),
        host=_host(named["host"], values.get("host"), env),
    )


def offline_variable(env: Env) -> str:
    """The variable that forbids the network, '' where none does. Never raises.

    A value of QVQ_OFFLINE that is neither yes nor no forbids it until `read` has named it.
    HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE are read as huggingface_hub does.
    """
    own = env.environ.get("QVQ_OFFLINE", "").strip().lower()
    return "QVQ_OFFLINE" if own and own not in _FALSE else hugging_face.offline_variable(env)


def path_of(env: Env) -> Path:
    """The config file. It need not exist."""
    folder = _path(env, "QVQ_HOME") or _xdg(env, "XDG_CONFIG_HOME", ".config") / "qvq"
    return folder / "config.toml"


def files_of(env: Env) -> list[Path]:
    """The config file and the user's cards, as far as they exist: every command reads them."""
    config = path_of(env)
    return [path for path in (config, *_cards_in(config).glob("*.toml")) if path.is_file()]


def described(env: Env) -> tuple[Setting, ...]:
    """Every key with the value in force. Raises ConfigError as `read` does."""
    from qvq_mlx.records.models import Setting

    read(env)
    path, variables = path_of(env), _variables(env)
    values = _file(path)[0]
    found = []
    for key in KEYS:
        if key in variables:
            found.append(Setting(key, variables[key], f"QVQ_{key.upper()}"))
        elif key in values:
            found.append(Setting(key, _text(values[key]), str(path)))
        else:
            found.append(Setting(key, _DEFAULTS[key], "default"))
    return tuple(found)


def checked(key: str, text: str) -> str | bool:
    """The value that `text` means for `key`. Raises ConfigError for a key or value not allowed."""
    match check_key(key):
        case "thinking":
            view = _view(key, text)
            assert view is not None
            return str(view)
        case "save" | "plain" | "notify" | "backup":
            return _flag(key, text)
        case "budget" | "detail" | "temperature" | "lang":
            return checked_option(key, text)
        case "host":
            return _address(key, text)
        case _:
            if not text.strip() or not text.isprintable():
                raise ConfigError(f"{key} is {text!r}; it can be a model's name", Show.MODELS)
            return text


def check_key(key: str) -> str:
    """Return `key`. Raises ConfigError where no setting is called so."""
    if key not in KEYS:
        raise ConfigError(f"unknown key {key!r}; {_meant(key)}", Show.SETTINGS)
    return key


def _meant(key: str) -> str:
    """Say which key is near; where none is, which there are."""
    from qvq_mlx.core.near import near

    close = near(key, KEYS)
    return f"did you mean {close}?" if close else f"known: {', '.join(KEYS)}"


def store(env: Env, key: str, value: str | bool | None) -> Path:
    """Set `key` in the config file, or remove it (None); the rest of the file stays.

    A key that is not known can be removed too. The file is replaced in one step. Returns its path.
    Raises ConfigError.
    """
    from qvq_mlx.settings.toml_edit import with_value

    path = path_of(env)
    # a file that is wrong already is not made worse, and what is wrong in it can be removed
    if value is not None or key not in _parsed(path):
        check_key(key)
        _file(path)
    try:
        place = output_place(path)  # a link to a file elsewhere stays a link
        text = read_text(place, _MAX_BYTES) if place.exists() else ""
        write_private(place, with_value(text, key, value).encode(), sync=True)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be changed: {why(error)}", RunProgram(("ls", "-l", str(path.parent)))
        ) from error
    return path


def hub(env: Env) -> HubAccess:
    """Return where models come from, and with which token. Raises ConfigError, and UsageError
    where nothing may be fetched.
    """
    if offline_variable(env) == "QVQ_OFFLINE":  # huggingface_hub knows of its own variable
        raise UsageError(
            "QVQ_OFFLINE is set: nothing is fetched", RunProgram(("unset", "QVQ_OFFLINE"))
        )
    from qvq_mlx.store.download import HubAccess

    endpoint = hugging_face.endpoint(env)
    stall_s = _number("QVQ_STALL_S", env.environ.get("QVQ_STALL_S", "") or "30", "seconds")
    return HubAccess(endpoint, hugging_face.token(env), stall_s or 30.0)


def stdin_silence_s(env: Env) -> float:
    """Return how long a pipe on stdin may say nothing, in seconds. Raises ConfigError."""
    return _number("QVQ_STDIN_S", env.environ.get("QVQ_STDIN_S", "") or "30", "seconds") or 30.0


def licences_file(env: Env) -> Path:
    """Return the file of accepted licences."""
    home = _path(env, "QVQ_HOME")
    return (home or _xdg(env, "XDG_DATA_HOME", ".local/share") / "qvq") / "licences.json"


def debugging(env: Env) -> bool:
    """True if a bug shows its traceback. Never raises: it is asked when something went wrong."""
    return env.environ.get("QVQ_DEBUG", "").strip().lower() in _TRUE


def unknown_key(path: Path, key: str) -> ConfigError:
    """Say what is wrong with a key of the file that is no setting's."""
    return ConfigError(f"{path}: unknown key {key!r}; {_meant(key)}", ForgetSetting(key))


def _file(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The values of known keys, and the other keys. Raises ConfigError."""
    values = _parsed(path)
    unknown = tuple(key for key in values if key not in KEYS)
    if unknown:
        from qvq_mlx.core.near import near

        for key in unknown:
            if near(key, KEYS) == "save":
                raise unknown_key(path, key)
    return {key: value for key, value in values.items() if key in KEYS}, unknown


def _parsed(path: Path) -> dict[str, Any]:
    """What the file holds, whatever its keys. Raises ConfigError."""
    try:
        return read_toml(path, _MAX_BYTES)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {why(error)}", RunProgram(("cat", str(path)))
        ) from error


def _variables(env: Env) -> dict[str, str]:
    """The keys that the environment sets."""
    keys = [key for key in KEYS if key not in _WITHOUT_VARIABLE]
    named = {key: env.environ.get(f"QVQ_{key.upper()}") for key in keys}
    return {key: value for key, value in named.items() if value is not None}


def _model(value: object) -> str | None:
    return None if value is None else str(value)


def _host(name: str, value: object, env: Env) -> Host | None:
    """The host with its key, which no file of ours holds. Raises ConfigError."""
    if value is None or not str(value).strip():
        return None
    from qvq_mlx.core.host import Host

    key = env.environ.get("QVQ_HOST_KEY", "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError("QVQ_HOST_KEY holds characters that no request can carry")
    return Host(_address(name, str(value)), key)


def _address(name: str, text: str) -> str:
    from qvq_mlx.core.host import parse_host

    try:
        return parse_host(text)
    except ValueError as error:
        # what may be a password is not repeated
        shown = "given with a password" if "@" in text else repr(text[:80])
        raise ConfigError(f"{name} is {shown}; {error}") from None


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _view(name: str, value: object) -> ThinkingView | None:
    if value is None:
        return None
    try:
        return ThinkingView(str(value))
    except ValueError:
        known = ", ".join(ThinkingView)
        raise ConfigError(f"{name} is {value!r}; it can be {known}") from None


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


def _size(name: str, value: str) -> int:
    """Bytes. Raises ConfigError."""
    found = parse_size(value or DEFAULT_CACHE_MAX)
    if found is None:
        raise ConfigError(f"{name} is {value!r}; it can be a size such as 4GiB, or 0")
    return found


def _caches(env: Env) -> Path:
    """Return the system's folder for caches."""
    if sys.platform == "darwin":
        return env.home / "Library" / "Caches" / "qvq"
    return _xdg(env, "XDG_CACHE_HOME", ".cache") / "qvq"


def _cards_in(config: Path) -> Path:
    """The folder of the user's cards, beside the config file."""
    return config.parent / "models"


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

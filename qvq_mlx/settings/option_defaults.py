"""Check the settings that stand in for an option: budget, detail, temperature, lang.

Law: a value is read by the same reader as the option's own, and kept as its text.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from qvq_mlx.core.errors import ConfigError, UsageError

OPTION_KEYS = ("budget", "detail", "temperature", "lang")


def option_defaults(values: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Return key and text of each option that the settings name. Raises ConfigError."""
    return tuple((key, checked_option(key, values[key])) for key in OPTION_KEYS if key in values)


def checked_option(key: str, value: object) -> str:
    """Return the text of a value that the option allows. Raises ConfigError for another one."""
    text = str(value)
    try:
        match key:
            case "budget":
                from qvq_mlx.guards.budget import parse_budget

                parse_budget(text)
            case "detail":
                from qvq_mlx.core.image_options import parse_detail

                parse_detail(text)
            case "lang":
                from qvq_mlx.guards.language import parse_lang

                parse_lang(text)
            case _:
                _check_temperature(text)
    except UsageError as error:
        # the message begins with the option's field, and what is wrong here is a setting
        raise ConfigError((key, *error.parts[1:])) from error
    return text


def _check_temperature(text: str) -> None:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (isfinite(number) and number >= 0):
        raise UsageError(("temperature", f" is {text!r}; it is a number from 0"))

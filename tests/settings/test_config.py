"""Defaults < config file < environment < flags."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ConfigError
from qvq_mlx.core.request import ThinkingView
from qvq_mlx.settings import config
from tests.conftest import World


def test_defaults(world: Callable[..., World], tmp_path: Path) -> None:
    env = replace(world([]).env, environ={})
    settings = config.read(env)
    assert settings.model is None
    assert settings.view is None
    assert settings.save
    assert settings.history_folder == tmp_path / ".local/share/qvq/history"
    assert settings.hub_cache == tmp_path / ".cache/huggingface/hub"


def test_the_environment_beats_the_file(world: Callable[..., World], tmp_path: Path) -> None:
    (tmp_path / "qvq").mkdir()
    (tmp_path / "qvq" / "config.toml").write_text('model = "a"\nthinking = "line"\nsave = false\n')
    settings = config.read(world([]).env)
    assert (settings.model, settings.view, settings.save) == ("a", ThinkingView.LINE, False)
    settings = config.read(world([], environ={"QVQ_MODEL": "b", "QVQ_SAVE": "1"}).env)
    assert (settings.model, settings.view, settings.save) == ("b", ThinkingView.LINE, True)


@pytest.mark.parametrize(
    ("environ", "hub"),
    [
        ({"HF_HUB_CACHE": "/a"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
    ],
)
def test_the_hub_cache_is_where_other_tools_look(
    world: Callable[..., World], environ: dict[str, str], hub: str
) -> None:
    assert config.read(world([], environ=environ).env).hub_cache == Path(hub)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ('thinking = "some"', "tail, full, line, none"),
        ('save = "perhaps"', "it can be 0 or 1"),
        ("model = ", "cannot be read"),
    ],
)
def test_a_wrong_value_is_one_clear_line(
    world: Callable[..., World], tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "qvq").mkdir()
    (tmp_path / "qvq" / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        config.read(world([]).env)


def test_a_pace_is_a_number(world: Callable[..., World]) -> None:
    assert config.read(world([], environ={"QVQ_PACE": "8"}).env).pace_tokens_per_s == 8.0
    for value in ("fast", "-1", "inf", "nan"):
        with pytest.raises(ConfigError, match="QVQ_PACE"):
            config.read(world([], environ={"QVQ_PACE": value}).env)

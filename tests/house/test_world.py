"""No command can forget what comes first: its settings, and a network that is forbidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.core import TyperGroup, TyperOption
from typer.main import get_command

from qvq_mlx.cli.app import app_with
from qvq_mlx.cli.options import forbid_network
from tests.conftest import World

Build = Callable[..., World]


def commands() -> Iterator[tuple[str, ...]]:
    """Every command line of one or two words."""
    root = get_command(app_with())
    assert isinstance(root, TyperGroup)
    for name, command in root.commands.items():
        yield (name,)
        if isinstance(command, TyperGroup):
            yield from ((name, inner) for inner in command.commands)


@pytest.mark.parametrize("variable", ["QVQ_OFFLINE", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize("words", tuple(commands()), ids=" ".join)
def test_a_variable_forbids_the_network_for_every_command(
    world: Build, words: tuple[str, ...], variable: str
) -> None:
    order: list[str] = []

    def watch() -> Callable[[], object]:
        order.append("watch")
        return list

    w = world(words=["\\boxed{3}"], environ={variable: "1"})
    w.env = replace(w.env, watch_network=watch, forbid_network=lambda: order.append("forbid"))
    w.run(*words)  # most of them lack an argument: it is forbidden before that is noticed
    assert order == ["watch", "forbid"]
    free = world(words=["\\boxed{3}"])
    free.env = replace(free.env, forbid_network=lambda: order.append("too much"))
    free.run(*words)
    assert order == ["watch", "forbid"]


def test_settings_that_cannot_be_read_leave_the_network_forbidden(
    world: Build, tmp_path: Path
) -> None:
    (tmp_path / "qvq").mkdir()
    (tmp_path / "qvq" / "config.toml").write_text("nonsense = [")
    called: list[bool] = []
    w = world(environ={"QVQ_OFFLINE": "1"})
    w.env = replace(w.env, forbid_network=lambda: called.append(True))
    assert w.run("models") == 2
    assert called == [True]


def test_every_offline_option_forbids_the_network_itself() -> None:
    root = get_command(app_with())
    assert isinstance(root, TyperGroup)
    offline = {
        name: option
        for name, command in root.commands.items()
        for option in command.params
        if isinstance(option, TyperOption) and "--offline" in option.opts
    }
    assert set(offline) == {"ask", "batch", "chat", "doctor", "eval"}
    for option in offline.values():
        assert option.callback is not None
        assert getattr(option.callback, "__wrapped__", option.callback).__name__ == (
            forbid_network.__name__
        )

"""The end of what took long is notified as the terminal can, and says nothing of its content."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest

from qvq_mlx.core.errors import NoAnswerError, StoppedError
from qvq_mlx.render.notification import notify
from qvq_mlx.run.ending import NOTIFIED_AFTER_S, notifying
from qvq_mlx.settings import config


@pytest.mark.parametrize(
    ("environ", "written"),
    [
        ({"TERM": "xterm-256color"}, "\a"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "\x1b]9;qvq: it is done\a"),
        ({"TERM": "xterm-kitty"}, "\x1b]9;qvq: it is done\a"),
        ({"TERM": "foot"}, "\x1b]777;notify;qvq;it is done\a"),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "iTerm.app", "TMUX": "/tmp/t,1,0"}, "\a"),
        ({"TERM": "dumb"}, ""),
        ({"TERM": "xterm", "CI": "true"}, ""),
    ],
)
def test_what_a_terminal_is_sent(world, environ: dict[str, str], written: str) -> None:
    w = world()
    w.environ = environ
    notify("it is done", w.env)
    assert w.stderr.getvalue() + w.stdout.getvalue() == written


def test_a_pipe_is_sent_nothing(world) -> None:
    w = world(out=False, err=False)
    notify("it is done", w.env)
    assert w.stderr.getvalue() + w.stdout.getvalue() == ""


@pytest.mark.parametrize(
    ("took_s", "error", "wanted", "rings"),
    [
        (NOTIFIED_AFTER_S, None, True, True),
        (NOTIFIED_AFTER_S - 1, None, True, False),
        (NOTIFIED_AFTER_S, None, False, False),
        (NOTIFIED_AFTER_S, NoAnswerError("none"), True, True),
        (NOTIFIED_AFTER_S, StoppedError("stopped"), True, False),
        (NOTIFIED_AFTER_S, BrokenPipeError(), True, False),
    ],
)
def test_when_a_person_is_notified(
    world, took_s: float, error: Exception | None, wanted: bool, rings: bool
) -> None:
    w = world()
    settings = replace(config.defaults(w.env), notify=wanted)
    expected = suppress(NoAnswerError, StoppedError, BrokenPipeError)
    with expected, notifying(w.env, settings, "the run"):
        w.now += took_s
        if error is not None:
            raise error
    assert ("\a" in w.stderr.getvalue()) is rings

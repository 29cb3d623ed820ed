"""Signals wait while MLX is imported, which must not be interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qvq_mlx.engine import signals_waiting
from tests.conftest import ROOT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_come_when_the_block_ends(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda came, _frame: heard.append(came))
    try:
        with signals_waiting():
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert heard == []
        assert heard == [number, number]
        signal.raise_signal(number)
        assert heard == [number] * 3
    finally:
        signal.signal(number, before)


def test_another_thread_keeps_no_signal_waiting() -> None:
    handlers = []

    def within() -> None:
        with signals_waiting():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=within)
    thread.start()
    thread.join()
    assert handlers == [before]


def test_mlx_is_imported_whole_before_a_handler_raises(tmp_path: Path) -> None:
    """A stand-in for it gets the signal in the middle; what it does then is Python's, not C++'s."""
    stand_in = tmp_path / "mlx"
    stand_in.mkdir()
    (stand_in / "__init__.py").touch()
    (stand_in / "core.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nprint('whole', flush=True)\n"
    )
    script = (
        "import signal, sys\n"
        "def ends(number, _frame): raise SystemExit(128 + number)\n"
        "signal.signal(signal.SIGTERM, ends)\n"
        "from qvq_mlx.engine import import_mlx\n"
        "import_mlx()\n"
        "print('went on')\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (143, "whole\n"), done.stderr

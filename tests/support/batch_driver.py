"""`qvq batch` as a process of its own, with an engine that takes its time and needs no weights."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from qvq_mlx.cli.main import main
from qvq_mlx.cli.world import real_env
from tests.conftest import ScriptedEngine

ITEM_S = 0.02


def run() -> int:
    engine = ScriptedEngine(
        ["Let me see. ", "\n\n**Final Answer**\n\n", "\\boxed{3}"],
        on_token=lambda _index, _control: time.sleep(ITEM_S / 3),
    )
    return main(sys.argv[1:], replace(real_env(), load_engine=engine.load))


if __name__ == "__main__":
    sys.exit(run())

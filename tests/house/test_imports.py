"""What a command may load: module names, not milliseconds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "mlx",
    "mlx_vlm",
    "transformers",
    "huggingface_hub",
    "PIL",
    "numpy",
    "rich.markdown",
    "tokenizers",
    "prompt_toolkit",
)
NETWORK = ("huggingface_hub", "requests", "httpx", "urllib3", "http.client", "ssl")


def loaded_after(code: str) -> set[str]:
    """The modules of a fresh interpreter after it ran `code`."""
    script = f"import sys\n{code}\nprint('\\n@@' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.rpartition("@@")[2].split())


@pytest.mark.parametrize(
    "argument", ["--version", "--help", "ask --help", "chat --help", "models --json"]
)
def test_light_commands_load_nothing_heavy(argument: str) -> None:
    modules = loaded_after(
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        f"assert main({argument.split()!r}, real_env()) == 0"
    )
    assert not {name for name in HEAVY if name in modules}


def test_the_version_loads_neither_typer_nor_rich_nor_what_spells_errors() -> None:
    modules = loaded_after(
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        "assert main(['--version'], real_env()) == 0"
    )
    assert not {"typer", "rich", "qvq_mlx.cli.spelling", "qvq_mlx.core.remedies"} & modules


def test_the_first_status_comes_before_mlx_vlm_is_imported() -> None:
    modules = loaded_after(
        "from pathlib import Path\n"
        "from qvq_mlx.engine import load\nfrom qvq_mlx.core.tokens import Control\n"
        "from qvq_mlx.store import registry\n"
        "card = registry.find('tiny')\n"
        "print(next(load(card, registry.folder_of(card, Path('x')), Control())))"
    )
    assert not {"mlx", "mlx_vlm", "transformers", "numpy"} & modules


def test_planning_a_question_loads_no_network_code() -> None:
    modules = loaded_after(
        "import qvq_mlx.run.ask, qvq_mlx.cli.ask, qvq_mlx.store.local, PIL.Image"
    )
    assert not {name for name in NETWORK if name in modules}


@pytest.mark.parametrize("line", ["last", "last --json", "log list", "log list -n 3"])
def test_what_only_reads_the_history_loads_neither_typer_nor_rich(
    tmp_path: Path, line: str
) -> None:
    modules = loaded_after(
        "import os, sys\n"
        f"os.environ['QVQ_HOME'] = {str(tmp_path)!r}\n"
        "from datetime import UTC, datetime\nfrom pathlib import Path\n"
        "from qvq_mlx import history\nfrom qvq_mlx.records.runs import RequestRecord\n"
        "from qvq_mlx.core.request import Sampling\n"
        "from qvq_mlx.core.events import AnswerSource, Done, Stats, StopReason\n"
        "end = Done(StopReason.END, AnswerSource.MARKER, True, False, Stats())\n"
        "asked = RequestRecord(2, 'request', 'q', 'm', (), None, 1, Sampling())\n"
        f"folder = Path({str(tmp_path)!r}) / 'history'\n"
        "list(history.record([end], asked, folder, datetime.now(UTC)))\n"
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        f"assert main({line.split()!r}, real_env()) == 0"
    )
    costly = {"typer", "rich", "pydantic", "tomllib", "qvq_mlx.core.card", "qvq_mlx.core.plan"}
    assert not {*HEAVY, *NETWORK, *costly} & modules


def test_a_question_loads_its_own_command_and_no_room_that_it_does_not_enter(
    tmp_path: Path,
) -> None:
    modules = loaded_after(
        "import os\n"
        f"os.environ['QVQ_HOME'] = {str(tmp_path)!r}\n"
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        "assert main(['ask', '-m', 'tiny', 'examples/shapes.png', 'How many?'], real_env()) == 0"
    )
    ours = {name for name in modules if name.startswith("qvq_mlx")}
    others = {f"qvq_mlx.cli.{name}" for name in ("batch", "chat", "pull", "log", "convert", "show")}
    rooms = {f"qvq_mlx.run.{name}" for name in ("vote", "double_check", "schema_text")}
    assert not (others | rooms) & ours
    assert len(ours) <= 154  # what a question needs, and no more

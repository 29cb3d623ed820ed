"""What a command may load: module names, not milliseconds."""

from __future__ import annotations

import subprocess
import sys

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


def test_the_version_does_not_even_load_typer_or_rich() -> None:
    modules = loaded_after(
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        "assert main(['--version'], real_env()) == 0"
    )
    assert not {"typer", "rich"} & modules


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
    modules = loaded_after("import qvq_mlx.ask, qvq_mlx.cli.ask, qvq_mlx.store.local, PIL.Image")
    assert not {name for name in NETWORK if name in modules}

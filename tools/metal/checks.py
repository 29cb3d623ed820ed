"""The checks of `make test-metal`, by the names under which docs/metal.md lists them.

A check returns its fact on one line. It raises NotHereError where this machine has not what it
needs, and AssertionError, with numbers, where something is not as it should be.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from qvq_mlx.core.setup import Setup
from qvq_mlx.core.tokens import Control, Generation, Token
from tools.metal import by_hand, true_shapes
from tools.metal import tools_of_macos as tools
from tools.metal.needs import DATA, ROOT, needs_macos, needs_metal

TOOLS = (
    *("/usr/sbin/sysctl", "/usr/sbin/ioreg", "/usr/sbin/screencapture", "/usr/bin/vm_stat"),
    *("/usr/bin/pmset", "/usr/bin/osascript", "/usr/bin/sips", "/usr/bin/caffeinate"),
)


def system() -> str:
    """Name the system, Python and MLX."""
    from importlib import metadata

    from qvq_mlx.doctor.versions import versions

    found = versions()
    mlx, mlx_vlm = metadata.version("mlx"), metadata.version("mlx-vlm")
    built_for = found.mlx_built_for
    wheel = f" (its wheel is for macOS {built_for})" if built_for else ""
    system_name = f"{found.system}, {found.architecture}, Python {found.python}"
    return f"{system_name}, mlx {mlx}{wheel}, mlx-vlm {mlx_vlm}"


def working_set() -> str:
    """Compare what Metal recommends with the table for a Mac of this size."""
    import mlx.core as mx

    from qvq_mlx.engine.out_of_memory import recommended_bytes
    from qvq_mlx.memory.machine import read_machine
    from qvq_mlx.memory.working_set import working_set_of

    needs_metal()
    said, memory = recommended_bytes(mx.device_info()), read_machine(Path.home()).memory_bytes
    assert said, f"device_info() is {mx.device_info()}"
    assert memory, "sysctl names no memory"
    table = working_set_of(memory)
    return f"{said / 2**30:.2f} GiB of {memory / 2**30:g}, table {table / 2**30:.2f}"


def wired_limit() -> str:
    """Wire as much as Metal recommends, and see more refused."""
    import mlx.core as mx

    from qvq_mlx.engine.out_of_memory import recommended_bytes

    needs_metal()
    limit = recommended_bytes(mx.device_info())
    assert limit, "Metal recommends nothing"
    before = mx.set_wired_limit(limit)
    try:
        mx.set_wired_limit(limit + 2**30)
    except (RuntimeError, ValueError) as error:
        return f"{limit} bytes taken, {error}"
    finally:
        mx.set_wired_limit(before)
    raise AssertionError("more than the working set was taken")


def goldens() -> str:
    """Have the embedded model write what transformers wrote, token by token."""
    entries = json.loads((DATA / "goldens.json").read_text("utf-8"))[:4]
    wrong = [
        f"{entry['image']}: token {_first_difference(found, entry['token_ids'])}"
        for entry in entries
        if (found := _written(DATA / entry["image"], entry["question"], entry["system"]))
        != entry["token_ids"]
    ]
    assert not wrong, "; ".join(wrong)
    return f"{len(entries)} of {len(entries)} texts equal on {_backend()}"


def gpu_against_cpu() -> str:
    """Compare the texts of both devices; where they part at a tie, the token is named."""
    import mlx.core as mx

    needs_metal()
    picture, question = DATA / "count-1.png", "What shapes do you see?"
    on_gpu = _written(picture, question, None)
    device = mx.default_device()
    mx.set_default_device(mx.Device(mx.cpu))
    try:
        on_cpu = _written(picture, question, None)
    finally:
        mx.set_default_device(device)
    assert on_gpu == on_cpu, f"they part at token {_first_difference(on_gpu, on_cpu)}"
    return f"{len(on_gpu)} tokens equal"


def cached() -> str:
    """Compare the text of a cached prefix with that of a cold one."""
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(cache_folder=Path(folder), cache_max_bytes=2**28)
        picture, question = DATA / "count-1.png", "What shapes do you see?"
        cold = _written(picture, question, None)
        first, again = (_written(picture, question, None, setup) for _ in range(2))
    assert cold == first == again, f"{len(cold)}, {len(first)} and {len(again)} tokens"
    return f"{len(cold)} tokens equal on {_backend()}"


def drafted() -> str:
    """Compare the text of prompt lookup with that of plain decoding."""
    from qvq_mlx.core.setup import Drafting

    picture, question = DATA / "count-1.png", "What shapes do you see?"
    plain = _written(picture, question, None, Setup(drafting=Drafting.NONE))
    lookup = _written(picture, question, None, Setup(drafting=Drafting.LOOKUP))
    assert plain == lookup, f"they part at token {_first_difference(plain, lookup)}"
    return f"{len(plain)} tokens equal on {_backend()}"


def drafted_by_length() -> str:
    """Compare drafts of 1 to 8 tokens with plain decoding; every length that parts is listed.

    Metal has other kernels for one row than for many, so texts may part at a tie of two logits.
    """
    from qvq_mlx.core.setup import Drafting

    picture, question = DATA / "count-1.png", "What shapes do you see?"
    plain = _written(picture, question, None, Setup(drafting=Drafting.NONE))
    parted = []
    for tokens in range(1, 9):
        found = _written(picture, question, None, Setup(Drafting.LOOKUP, draft_tokens=tokens))
        if found != plain:
            parted.append(f"{tokens} at token {_first_difference(found, plain)}")
    assert not parted, "drafts of " + ", ".join(parted)
    return f"{len(plain)} tokens equal with each of 8 lengths on {_backend()}"


def tools_of_macos() -> str:
    """Find macOS's tools at the paths at which qvq calls them."""
    needs_macos()
    missing = [path for path in TOOLS if not Path(path).is_file()]
    assert not missing, ", ".join(missing)
    return f"{len(TOOLS)} of {len(TOOLS)}"


def facts_of_the_machine() -> str:
    """Show what was read of chip, memory, power and bandwidth."""
    from qvq_mlx.memory.machine import read_machine

    found = read_machine(Path.home())
    assert found.memory_bytes, "no memory was read"
    if sys.platform == "darwin":
        assert found.chip, "no chip was read"
        assert found.bandwidth_bytes_per_s, f"{found.chip} is in no table"
    rate = found.bandwidth_bytes_per_s
    speed = f"{rate / 1e9:g} GB/s" if rate else "bandwidth unknown"
    power = f"{found.power or '-'}{', Low Power Mode' if found.low_power else ''}"
    return f"{found.chip}, {found.memory_bytes / 2**30:.1f} GiB, {speed}, {power}"


def screen_access() -> str:
    """Ask whether this terminal may record the screen."""
    from qvq_mlx.images import mac

    needs_macos()
    found = mac.screen_access()
    assert found is not None, "CoreGraphics has no such question"
    return "allowed" if found else "not allowed"


def suite() -> str:
    """Run the suite, and give its last line."""
    needs_macos()  # elsewhere `make test` says it
    return summary_of((), 1200)


def summary_of(paths: tuple[str, ...], wait_s: float) -> str:
    """Run these tests, or all; give pytest's last line. Raises AssertionError with what failed."""
    command = (sys.executable, "-m", "pytest", "-q", "-n", "auto", *paths)
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=wait_s, check=False
    )
    lines = done.stdout.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    assert not done.returncode, "; ".join([*lines[-1:], *failed])
    return lines[-1]


def links_and_locks() -> str:
    """Make a link and take a lock in a folder of the disk."""
    from qvq_mlx.system.locks import LockFile

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "link").symlink_to("target")
        first = LockFile(place / "lock")
        assert first.try_take().may_go_on, "a free lock is refused"
        first.release()
    return "both work"


def _first_difference(one: list[int], other: list[int]) -> int:
    pairs = zip(one, other, strict=False)
    return next((at for at, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _written(
    picture: Path, question: str, system_text: str | None, setup: Setup | None = None
) -> list[int]:
    """The ids that the embedded model writes, at most 200."""
    import io

    from qvq_mlx import images
    from qvq_mlx.core.request import Sampling
    from qvq_mlx.engine import loaded
    from qvq_mlx.store import registry

    card = registry.find("tiny")
    engine = loaded(card, registry.folder_of(card, Path("nowhere")), setup)
    (shown,) = images.read(str(picture), card.vision, images.ImageSources(io.BytesIO()))
    asked = card.system if system_text is None else system_text or None
    prompt = engine.prompt(question, [shown], asked)
    steps = engine.generate(prompt, Generation(Sampling(), 200, card.thinking.closing), Control())
    return [step.id for step in steps if isinstance(step, Token)]


def _backend() -> str:
    import mlx.core as mx

    return "the GPU" if mx.metal.is_available() else "the CPU"


CHECKS: dict[str, Callable[[], str]] = {
    "system and versions": system,
    "working set": working_set,
    "wired limit, at and above": wired_limit,
    "goldens of the embedded model": goldens,
    "GPU against CPU": gpu_against_cpu,
    "cached against cold": cached,
    "drafted against plain": drafted,
    "drafts of 1 to 8 tokens": drafted_by_length,
    "encode at 2B's true shapes": true_shapes.encode,
    "prefill at 2B's true shapes": true_shapes.prefill,
    "decode at 2B's true shapes": true_shapes.decode,
    "4,096 tokens": true_shapes.long_text,
    "more memory than there is": tools.over_allocation,
    "macOS's tools at their paths": tools_of_macos,
    "what the tools say themselves": tools.raw_outputs,
    "facts of the machine": facts_of_the_machine,
    "permission to record the screen": screen_access,
    "the clipboard by script": tools.clipboard,
    "sips": tools.sips,
    "caffeinate": tools.caffeinate,
    "links and locks": links_and_locks,
    "a minute by hand": by_hand.minute,
    "the suite": suite,
}

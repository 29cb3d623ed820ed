"""Checks of macOS's tools: what each says by itself, and whether qvq reads it right.

Written from documentation and never run by who wrote them; elsewhere than on macOS each is skipped.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.metal.needs import DATA, needs_macos, needs_metal

_ASKED = (
    ("/usr/bin/sw_vers", "-productVersion"),
    ("/usr/sbin/sysctl", "hw.memsize", "iogpu.wired_limit_mb", "machdep.cpu.brand_string"),
    ("/usr/bin/pmset", "-g", "batt"),
    ("/usr/bin/vm_stat",),
)
_MOST_CHARACTERS = 200
_PUT_PICTURE = """
ObjC.import('AppKit')
function run(argv) {
  const board = $.NSPasteboard.generalPasteboard
  board.clearContents
  board.setDataForType($.NSData.dataWithContentsOfFile(argv[0]), 'public.png')
}
"""


def raw_outputs() -> str:
    """Show what the tools say, so that a wrong fact of the machine can be traced to its text."""
    needs_macos()
    said = []
    for command in _ASKED:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        said.append(f"{command[0]}: {' '.join(done.stdout.split())[:_MOST_CHARACTERS]}")
    return "; ".join(said)


def clipboard() -> str:
    """Put a picture on the clipboard by script, and read it back as `clip` does."""
    from qvq_mlx.images import mac

    needs_macos()
    picture = DATA / "count-1.png"
    put = ["/usr/bin/osascript", "-l", "JavaScript", "-e", _PUT_PICTURE, str(picture)]
    subprocess.run(put, capture_output=True, timeout=60, check=True)
    held = mac.pasteboard("/usr/bin/osascript", 2**24)
    assert held == picture.read_bytes(), f"{type(held).__name__} of {len(held)}"
    return f"{len(held)} bytes came back"


def sips() -> str:
    """Have sips turn a picture into a PNG."""
    from PIL import Image

    from qvq_mlx.images import mac

    needs_macos()
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder) / "given.tiff"
        with Image.open(DATA / "count-1.png") as picture:
            picture.save(given)
            wanted = picture.size
        png = Path(folder) / "made.png"
        png.write_bytes(mac.as_png("/usr/bin/sips", given.read_bytes(), 2**24))
        with Image.open(png) as made:
            assert (made.format, made.size) == ("PNG", wanted), f"{made.format} {made.size}"
    return f"a TIFF of {wanted[0]}x{wanted[1]} px became a PNG"


def caffeinate() -> str:
    """See the assertion of caffeinate in the system's list while a block runs."""
    import time

    from qvq_mlx.system.awake import awake

    needs_macos()
    with awake({"PATH": "/usr/bin"}):
        time.sleep(1)
        listed = subprocess.run(
            ("/usr/bin/pmset", "-g", "assertions"), capture_output=True, text=True, check=True
        ).stdout
    assert "caffeinate" in listed, "pmset lists no caffeinate"
    return "pmset lists it"


def over_allocation() -> str:
    """Ask for 4 TiB in a child; MLX's words have to be known as too little memory."""
    needs_metal()  # the allocator of the CPU backend kills the process
    script = (
        "import mlx.core as mx\n"
        "from qvq_mlx.engine.out_of_memory import is_out_of_memory\n"
        "try: mx.eval(mx.ones((2**21, 2**21), mx.uint8))\n"
        "except Exception as error: print(is_out_of_memory(error), str(error)[:120])\n"
        "else: print('4 TiB were given')\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", script), capture_output=True, text=True, timeout=120, check=False
    )
    said = " ".join(done.stdout.split()) or f"it ended with {done.returncode}"
    assert said.startswith("True "), said
    return said.removeprefix("True ")

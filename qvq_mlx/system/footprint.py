"""Asks how much memory a process holds."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_RUSAGE_BYTES, _FOOTPRINT_AT = 96, 72
"""Of macOS's `struct rusage_info_v0`: 16 bytes, seven numbers of 64 bits, the footprint, two more.
"""


def footprint_bytes(pid: int) -> int | None:
    """Bytes that the process holds, as Activity Monitor and `top` tell them: on a Mac what Metal
    holds for it too. None where the system does not say.
    """
    try:
        if sys.platform == "darwin":
            import ctypes

            facts = ctypes.create_string_buffer(_RUSAGE_BYTES)
            library = ctypes.CDLL("/usr/lib/libproc.dylib")
            if library.proc_pid_rusage(pid, 0, facts):
                return None
            return int.from_bytes(facts.raw[_FOOTPRINT_AT : _FOOTPRINT_AT + 8], sys.byteorder)
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return None

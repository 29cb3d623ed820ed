"""Listens at a socket in the folder of `places`, and asks who is at the other end.

Law: see `places`.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path

from qvq_mlx.system.files import make_private_folder, move
from qvq_mlx.warm.places import is_private, sockets

_NEW = ".new"
"""The end of the name of a socket at which nobody listens yet."""


def listening(folder: Path) -> tuple[socket.socket, Path]:
    """Listen in `folder`, and remove the sockets that nobody listens at. Raises OSError.

    A socket gets its name when somebody listens there: until then another server that starts would
    take it for one that was left behind.
    """
    make_private_folder(folder)
    if not is_private(folder):
        raise PermissionError(f"{folder} is not a folder of this user alone (mode 0700)")
    for path in sockets(folder):
        if not _answers(path):
            with suppress(OSError):
                path.unlink()
    for path in folder.glob(f"*{_NEW}"):
        if not _runs(path.stem):
            path.unlink(missing_ok=True)
    path = folder / f"{os.getpid()}.sock"
    new = path.with_suffix(_NEW)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(new))
        new.chmod(0o600)  # before it listens, nobody can connect
        listener.listen(16)
        move(new, path)
    except OSError:
        listener.close()
        new.unlink(missing_ok=True)
        raise
    return listener, path


def _runs(pid: str) -> bool:
    """True if that process is there, or may be."""
    try:
        os.kill(int(pid), 0)
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    except OSError:
        return True
    return True


def _answers(path: Path) -> bool:
    """True if somebody listens there, or may."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            return True
    return True


def same_user(line: socket.socket) -> bool:
    """True if the process at the other end is this user's."""
    return _peer_uid(line) == os.getuid()


def _peer_uid(line: socket.socket) -> int | None:
    """Ask the kernel; None where it does not say."""
    try:
        if sys.platform == "darwin":
            # struct xucred: version, uid, ...; level 0 is SOL_LOCAL, option 1 LOCAL_PEERCRED
            return int(struct.unpack("=II", line.getsockopt(0, 1, 76)[:8])[1])
        return int(struct.unpack("=iII", line.getsockopt(socket.SOL_SOCKET, 17, 12))[1])
    except OSError:
        return None

"""One lock: only EWOULDBLOCK means that another process holds it."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qvq_mlx.system.locks import LockFile, Locking, try_lock


def refusing(code: int):
    def flock(descriptor: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    return flock


def test_one_at_a_time_and_the_file_says_who(tmp_path: Path) -> None:
    one, two = LockFile(tmp_path / "lock"), LockFile(tmp_path / "lock")
    assert two.holder() is None
    assert one.try_take() is Locking.TAKEN
    assert two.try_take() is Locking.HELD
    assert two.holder() == os.getpid()
    one.release()
    one.release()
    assert two.try_take() is Locking.TAKEN
    two.release()


# SMB on macOS says ENOTSUP (https://github.com/EC-DIGIT-CSIRC/sysdiagnose/issues/92), some NFS
# ENOLCK, a kernel without flock ENOSYS (https://github.com/tox-dev/filelock/pull/212)
@pytest.mark.parametrize(
    "code", [errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL]
)
def test_a_volume_without_locks_stops_nobody(tmp_path: Path, code: int) -> None:
    locks = [LockFile(tmp_path / "lock", flock=refusing(code)) for _ in range(2)]
    for lock in locks:
        assert lock.try_take() is Locking.UNSUPPORTED
    assert all(Locking(found).may_go_on for found in (Locking.TAKEN, Locking.UNSUPPORTED))
    assert locks[0].holder() == os.getpid()
    for lock in locks:
        lock.release()


def test_held_is_ewouldblock_alone(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_bytes(b"")
    descriptor = os.open(path, os.O_RDWR)
    assert try_lock(descriptor, flock=refusing(errno.EWOULDBLOCK)) is Locking.HELD
    assert not Locking.HELD.may_go_on
    # NFS makes a byte-range lock of it, which a file that is open for reading alone cannot have
    assert try_lock(descriptor, flock=refusing(errno.EBADF)) is Locking.UNSUPPORTED
    os.close(descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        try_lock(descriptor)


def test_the_lock_ends_with_its_holder_and_is_not_inherited(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from qvq_mlx.system.locks import LockFile\n"
        "lock = LockFile(Path(sys.argv[1])); print(lock.try_take().name, flush=True)\n"
        "child = subprocess.Popen(['sleep', '60'], close_fds=False)\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "TAKEN\n"
    child = int(holder.stdout.readline())
    try:
        assert holder.wait() == -9
        lock = LockFile(path)
        assert lock.try_take() is Locking.TAKEN
        lock.release()
    finally:
        os.kill(child, 9)
        holder.stdout.close()


def test_a_removed_lock_file_locks_nobody_in(tmp_path: Path) -> None:
    """Who opened the file before its holder removed it does not lock a file that is gone."""
    path = tmp_path / "lock"
    one = LockFile(path)
    assert one.try_take() is Locking.TAKEN

    def flock(descriptor: int, operation: int) -> None:
        one.release(remove=True)  # between the other's open and its lock
        fcntl.flock(descriptor, operation)

    two, three = LockFile(path, flock=flock), LockFile(path)
    assert two.try_take() is Locking.TAKEN
    assert three.try_take() is Locking.HELD
    two.release(remove=True)
    assert not path.exists()


def test_a_link_or_a_pipe_at_its_place_is_an_error_and_stays_as_it_was(tmp_path: Path) -> None:
    precious, pipe = tmp_path / "precious", tmp_path / "pipe"
    precious.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(precious)
    os.mkfifo(pipe)
    for name in ("link", "pipe"):
        with pytest.raises(OSError):  # noqa: PT011
            LockFile(tmp_path / name).try_take()
    assert precious.read_bytes() == b"mine"
    precious.write_bytes(b"not a number")
    assert LockFile(precious).holder() is None

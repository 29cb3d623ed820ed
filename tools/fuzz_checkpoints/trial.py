"""Runs one command on one mutant in a forked process, and judges what it did.

Law: the process that forks has imported everything and computed nothing, since a thread pool of a
native library does not come along into the child.
"""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from qvq_mlx.cli.main import main
from qvq_mlx.cli.world import real_env
from qvq_mlx.core.errors import ExitCode

MEMORY_BYTES = 4 * 2**30
LIMIT_S = 20
"""Of the processor, so that a busy machine changes nothing."""
_WAIT_LIMIT_S = 180.0
"""By the clock: a run that waits for something uses no processor."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TEMPLATE = "template_process.py"
_EVENTS = ("socket.connect", "os.system", "os.exec", "ctypes.dlopen", "subprocess.Popen")
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(frozen=True, slots=True)
class Place:
    """The folders of one run: it may write into `own`, and into nothing else of `root`."""

    root: Path

    @property
    def own(self) -> Path:
        """Settings, history, cache and converted checkpoints."""
        return self.root / "own"

    @property
    def mutant(self) -> Path:
        """The checkpoint."""
        return self.root / "mutant"

    @property
    def said(self) -> Path:
        """What the run printed."""
        return self.root / "said"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended. `code` is an exit code, or a signal's number below zero.

    `changed`: what is another file than before, outside of the run's own folder.
    """

    code: int
    said: str
    peak_bytes: int
    took_s: float
    waited_s: float
    changed: tuple[str, ...]


def run(place: Place, argv: list[str]) -> Ended:
    """Run `argv` in a process of its own, and wait for it."""
    before = _listing(place.root)
    begun = time.monotonic()
    pid = os.fork()
    if not pid:
        _child(place, argv)
    status, usage = _ended(pid)
    said = place.said.read_text("utf-8", "replace") if place.said.exists() else ""
    place.said.unlink(missing_ok=True)
    return Ended(
        code=os.waitstatus_to_exitcode(status),
        said=said,
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        took_s=usage.ru_utime + usage.ru_stime,
        waited_s=time.monotonic() - begun,
        changed=tuple(sorted({path for path, *_ in before ^ _listing(place.root)})),
    )


def harm(ended: Ended) -> str:
    """Return what harm a run did; '' for none."""
    said = ended.said
    if ended.took_s >= LIMIT_S or ended.waited_s >= _WAIT_LIMIT_S:
        return f"ran {ended.took_s:.0f} s of the processor's, {ended.waited_s:.0f} s by the clock"
    if ended.code < 0:
        return f"signal {-ended.code}: {said[-200:]}"
    if ended.code == ExitCode.INTERNAL or "this is a bug" in said:
        return f"internal error: {said[-300:]}"
    if "Traceback" in said or "panicked" in said:
        return f"traceback: {said[-300:]}"
    if "AUDIT" in said:
        return said[said.index("AUDIT") :][:300]
    if control := _CONTROL.search(said):
        return f"control character {control[0]!r} in {said[-200:]!r}"
    if ended.peak_bytes > MEMORY_BYTES:
        return f"peak of {ended.peak_bytes:,} bytes"
    return f"changed {ended.changed[:3]}" if ended.changed else ""


def _child(place: Place, argv: list[str]) -> None:
    """The command, as the console script runs it; never returns."""
    code = 99
    sys.dont_write_bytecode = True  # it would count as a file outside
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        said = os.open(place.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, nothing), (1, said), (2, said)):
            os.dup2(source, target)
        environ = {"QVQ_HOME": str(place.own), "HOME": str(place.root), "PATH": os.defpath}
        if "QVQ_DEBUG" in os.environ:
            environ["QVQ_DEBUG"] = "1"
        env = replace(real_env(), environ=environ, home=place.root)
        _watch(str(place.own))
        code = main(argv, env)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException as error:
        os.write(2, f"Traceback: {error!r}".encode())
    finally:
        os._exit(code)


def _watch(own: str) -> None:
    """Report every file that is written outside of `own`, connections and programs."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "open":
            path, _, flags = (*arguments, 0, 0)[:3]
            if isinstance(flags, int) and flags & _WRITES:
                _told(own, event, path)
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link"):
            within = any(isinstance(one, int) and one >= 0 for one in arguments[1:])
            for path in arguments:
                # a name within an open folder says nothing here; the listing shows it
                if isinstance(path, str | bytes) and not (within and event != "os.mkdir"):
                    _told(own, event, path)
        elif event in _EVENTS and _TEMPLATE not in str(arguments):
            os.write(2, f"AUDIT {event} {arguments!r:.200}\n".encode())

    sys.addaudithook(hook)


def _told(own: str, event: str, path: object) -> None:
    if not isinstance(path, str | bytes | Path):
        return
    spelled = os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - Path would resolve nothing either
    if not spelled.startswith((own, os.devnull)):
        os.write(2, f"AUDIT {event} {spelled[:200]}\n".encode())


def _ended(pid: int) -> tuple[int, resource.struct_rusage]:
    """Wait for the process, and end it after _WAIT_LIMIT_S."""
    begun, pause_s = time.monotonic(), 0.002
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return status, usage
        if time.monotonic() - begun > _WAIT_LIMIT_S:
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            return status, usage
        time.sleep(pause_s)
        pause_s = min(0.05, pause_s * 1.5)


def _listing(root: Path) -> set[tuple[str, int, int, int]]:
    """Every file outside of the run's own folder: path, size, time of change, inode."""
    found = set()
    for folder, folders, files in os.walk(root):
        if folder == str(root):
            folders[:] = [name for name in folders if name != "own"]
        for name in (*folders, *files):
            facts = os.lstat(os.path.join(folder, name))  # noqa: PTH118 - thousands of them
            if name != "said":
                found.add((f"{folder}/{name}", facts.st_size, facts.st_mtime_ns, facts.st_ino))
    return found

"""Puts qvq into the Finder's menu, Shortcuts and Raycast, and takes it out again.

Law: only what was made here is replaced or removed; what has its name and is another's stays.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import OutputError, UsageError
from qvq_mlx.core.shipped import shipped
from qvq_mlx.integrate import Place
from qvq_mlx.integrate.plists import TITLE, is_ours, service_info, shortcut, workflow
from qvq_mlx.render.clean import shown
from qvq_mlx.settings.config import Settings
from qvq_mlx.system.files import write_private
from qvq_mlx.system.programs import found, run
from qvq_mlx.system.reading import read_bytes, why
from qvq_mlx.system.scratch import scratch_folder

_PBS = "/System/Library/CoreServices/pbs"
_PLACEHOLDER = "QVQ=qvq\n"
_RAYCAST_HEAD = b"#!/bin/sh\n# @raycast.schemaVersion 1\n# @raycast.title Ask About a Picture\n"
_MOST_BYTES = 65_536


def install(place: Place, env: Env, settings: Settings) -> None:
    """Put qvq there, and say where it is and what is left to do.

    Raises UsageError elsewhere than on a Mac, OutputError where it cannot be written.
    """
    path, target = env.environ.get("PATH"), _target(place, env, settings)
    _check_free(place, target)
    try:
        match place:
            case Place.FINDER:
                _needed("osascript", path, place)
                write_private(target / "Contents" / "Info.plist", service_info())
                script = _script("picture.sh", path)
                write_private(target / "Contents" / "document.wflow", workflow(script))
                with suppress(OSError):  # else it is in the menu after the next login
                    run([found("pbs", path) or _PBS, "-flush"], _MOST_BYTES)
                said = f"select pictures, right-click, Quick Actions, {TITLE}"
            case Place.SHORTCUTS:
                _sign(shortcut(_script("picture.sh", path)), target, path)
                said = (
                    "say yes in the window; Settings, Advanced, Allow Running Scripts has to be on"
                )
            case Place.RAYCAST:
                write_private(target, _script("raycast.sh", path).encode())
                target.chmod(0o700)
                said = "in Raycast: Settings, Extensions, Script Commands, Add Script Directory"
    except (OSError, ValueError) as error:
        raise OutputError(f"{target}: {why(error)}") from error
    env.stdout.write(f"{shown(str(target), env.stdout)}\n  {said}\n")


def remove(place: Place, env: Env, settings: Settings) -> None:
    """Take qvq away from there. Raises OutputError where that fails, or it is not ours."""
    target = _target(place, env, settings)
    _check_free(place, target)
    name = shown(str(target), env.stdout)
    if not target.exists():
        env.stdout.write(f"{name} is not there\n")
        return
    try:
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    except OSError as error:
        raise OutputError(f"{target}: {error.strerror or error}") from error
    env.stdout.write(f"{name} is removed\n")
    if place is Place.SHORTCUTS:
        env.stdout.write(f"  Shortcuts keeps what it was given: delete {TITLE} there\n")


def _target(place: Place, env: Env, settings: Settings) -> Path:
    data = settings.history_folder.parent
    match place:
        case Place.FINDER:
            return env.home / "Library" / "Services" / f"{TITLE}.workflow"
        case Place.SHORTCUTS:
            return data / f"{TITLE}.shortcut"
        case Place.RAYCAST:
            return data / "raycast" / "ask-qvq.sh"


def _check_free(place: Place, target: Path) -> None:
    """Raise OutputError where something has the name that was not made here."""
    info = target / "Contents" / "Info.plist" if place is Place.FINDER else target
    if target.is_symlink() or (target.exists() and not _is_ours(place, info)):
        raise OutputError(f"{target} was not made by qvq, and stays as it is")


def _is_ours(place: Place, path: Path) -> bool:
    try:
        data = read_bytes(path, _MOST_BYTES)
    except (OSError, ValueError):
        return False
    match place:
        case Place.FINDER:
            return is_ours(data)
        case Place.SHORTCUTS:
            return True  # signed: it is macOS's container, under a name of ours in a folder of ours
        case Place.RAYCAST:
            return data.startswith(_RAYCAST_HEAD)


def _sign(data: bytes, target: Path, path: str | None) -> None:
    """Have macOS sign the shortcut, keep and open it. Raises UsageError, OSError, OutputError."""
    tool, opening = (_needed(name, path, Place.SHORTCUTS) for name in ("shortcuts", "open"))
    with scratch_folder() as folder:
        raw, signed = folder / "raw.shortcut", folder / "signed.shortcut"
        write_private(raw, data)
        ran = run([tool, "sign", "-m", "anyone", "-i", str(raw), "-o", str(signed)], _MOST_BYTES)
        if ran.code or not signed.is_file():
            said = ran.said or f"it ended with {ran.code}"
            raise OutputError(f"macOS does not sign the shortcut: {said}")
        write_private(target, read_bytes(signed, 2**20))
    run([opening, str(target)], _MOST_BYTES)


def _needed(name: str, path: str | None, place: Place) -> str:
    """Find a tool of macOS. Raises UsageError where it is not here."""
    tool = found(name, path) or found(f"/usr/bin/{name}", None)
    if tool is None:
        raise UsageError(f"{place} is a part of macOS, and its {name} is not here")
    return tool


def _script(name: str, path: str | None) -> str:
    """Return the script with qvq's own place. Raises UsageError where that is not known."""
    program = found("qvq", path) or found(str(Path(sys.executable).with_name("qvq")), None)
    if program is None:
        raise UsageError("no program qvq is installed: it runs from a folder of its source")
    text = shipped(f"integrations/{name}", f"extras/mac/{name}").read_text(encoding="utf-8")
    assert _PLACEHOLDER in text, name
    return text.replace(_PLACEHOLDER, f"QVQ={shlex.quote(str(Path(program).absolute()))}\n", 1)

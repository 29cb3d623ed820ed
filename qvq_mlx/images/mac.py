"""The seam to macOS's own tools: `screencapture`, `osascript` (AppKit) and `sips`.

Each is found by its name on PATH, so a stand-in there takes its place. What they make lies in a
temporary folder of ours that is gone when the call ends.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from qvq_mlx.core.errors import ImageUnreadableError, StoppedError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.system.programs import WAIT_S, found, run
from qvq_mlx.system.reading import read_bytes
from qvq_mlx.system.scratch import scratch_folder

_SCREEN_SETTINGS = RunProgram(
    ("open", "x-apple.systempreferences:com.apple.preference.security?Privacy_ScreenCapture")
)
_SCREENCAPTURE = "/usr/sbin/screencapture"
"""Where a PATH like cron's does not find it."""
_CORE_GRAPHICS = "/System/Library/Frameworks/CoreGraphics.framework/CoreGraphics"
# Files that were copied in the Finder come first: beside each lies a picture of its icon. They are
# items of the pasteboard (https://developer.apple.com/documentation/appkit/nspasteboarditem), and
# filePathURL turns file:///.file/id=... into a path
# (https://developer.apple.com/documentation/foundation/nsurl/filepathurl). A promised file is not
# written before the other program is asked to (.../appkit/nsfilepromisereceiver).
_PASTEBOARD = """
ObjC.import('AppKit')
function run(argv) {
  const board = $.NSPasteboard.generalPasteboard
  const items = board.pasteboardItems
  const paths = []
  for (let at = 0; !items.isNil() && at < items.count; at++) {
    const link = items.objectAtIndex(at).stringForType('public.file-url')
    if (link.isNil()) continue
    const file = $.NSURL.URLWithString(link).filePathURL
    paths.push(file.isNil() ? null : ObjC.unwrap(file.path))
  }
  if (paths.length) return JSON.stringify(paths)
  const kinds = ['public.png', 'public.jpeg', 'public.heic', 'public.tiff', 'com.adobe.pdf']
  for (const kind of kinds) {
    const data = board.dataForType(kind)
    if (!data.isNil()) { data.writeToFileAtomically(argv[0], true); return '' }
  }
  const promises = ['com.apple.pasteboard.promised-file-url', 'com.apple.NSFilePromiseItemMetaData',
    'Apple files promise pasteboard type']
  for (const kind of promises) {
    if (board.types.containsObject(kind)) return 'promised'
  }
  return ''
}
"""


def screen_access() -> bool | None:
    """True if this process may see other programs' windows; None where macOS cannot be asked.

    Without it macOS 15 and later takes the picture all the same, with nothing but the wallpaper
    (https://github.com/sonichi/sutando/issues/2942, https://github.com/BasedHardware/omi/pull/6288).
    Where it is missing, macOS is asked for it, which puts the terminal into the list of the
    settings. A grant counts from the next start of the terminal on: until then the answer stays no
    (https://github.com/Brkgng/ScrollSnap/pull/20).
    """
    import ctypes

    try:
        graphics = ctypes.CDLL(_CORE_GRAPHICS)
        graphics.CGPreflightScreenCaptureAccess.restype = ctypes.c_bool
        graphics.CGRequestScreenCaptureAccess.restype = ctypes.c_bool
        return bool(
            graphics.CGPreflightScreenCaptureAccess() or graphics.CGRequestScreenCaptureAccess()
        )
    except (OSError, AttributeError):
        return None


def screenshot(
    path: str | None, max_bytes: int, allowed: Callable[[], bool | None] = screen_access
) -> bytes:
    """Return the part of the screen that the user marks, as a PNG.

    Raises StoppedError where they gave it up, ImageUnreadableError where nothing can be taken, or
    only what macOS shows to programs that may not see the screen.
    """
    tool = found("screencapture", path) or found(_SCREENCAPTURE, None)
    if tool is None:
        raise ImageUnreadableError("screen: screencapture, a part of macOS, is not here", Ask())
    if allowed() is False:
        raise ImageUnreadableError(
            "screen: this terminal may not record the screen, so a picture would show the wallpaper"
            " alone; allow it in System Settings, Privacy & Security, Screen Recording, and start"
            " the terminal again",
            _SCREEN_SETTINGS,
        )
    with scratch_folder() as folder:
        out = folder / "screen.png"
        # nobody is hurried: the user may look for the right window first
        ran = run([tool, "-i", "-x", "-t", "png", str(out)], 4096, wait_s=None)
        if data := _read(out, max_bytes):
            _check_shows_something(data)
            return data
    if "two interactive" in ran.said:
        busy = "screen: another capture waits for its part to be marked; end it with Esc"
        raise ImageUnreadableError(busy, Ask(("screen",)))
    if ran.said:
        raise ImageUnreadableError(f"screen: screencapture says: {ran.said}", _SCREEN_SETTINGS)
    raise StoppedError("screen: no part of the screen was marked")


def _check_shows_something(data: bytes) -> None:
    """Refuse a picture of one colour. Raises ImageUnreadableError."""
    from PIL import Image

    try:
        with Image.open(BytesIO(data)) as picture:
            bands = [band.getextrema() for band in picture.convert("RGB").split()]
    except (OSError, ValueError):  # whoever reads it next says what is wrong
        return
    if all(band[0] == band[1] for band in bands):
        raise ImageUnreadableError(
            "screen: the picture has one colour and shows nothing; macOS gives such where the"
            " terminal may not record the screen",
            _SCREEN_SETTINGS,
        )


def pasteboard(tool: str, max_bytes: int, wait_s: float = WAIT_S) -> bytes | tuple[str, ...]:
    """The clipboard's picture, or the paths of files that were copied; b'' where it holds none.

    `tool` is osascript. Raises ImageUnreadableError where it fails.
    """
    with scratch_folder() as folder:
        out = folder / "clip"
        ran = run([tool, "-l", "JavaScript", "-e", _PASTEBOARD, str(out)], 2**16, wait_s)
        if ran.late:
            raise ImageUnreadableError(
                "clip: osascript says nothing; macOS may be asking, in a window of its own, whether"
                " this terminal may read the clipboard",
                Ask(("clip",)),
            )
        if ran.code:
            reason = ran.said or f"it ended with {ran.code}"
            raise ImageUnreadableError(f"clip: osascript says: {reason}", Ask())
        said = ran.output.decode(errors="surrogateescape").removesuffix("\n")
        return _paths(said) if said else _read(out, max_bytes)


def _paths(said: str) -> tuple[str, ...]:
    """The paths that the script printed. Raises ImageUnreadableError where one is missing."""
    if said == "promised":
        raise ImageUnreadableError(
            "clip: a file is promised there and not written yet; save it, and give its path",
            Ask(("IMAGE",)),
        )
    try:
        paths = json.loads(said)
    except ValueError:
        raise ImageUnreadableError(f"clip: osascript says: {said[:120]}", Ask()) from None
    if not all(isinstance(path, str) for path in paths):
        raise ImageUnreadableError(
            "clip: a file that was copied is no longer there", Ask(("clip",))
        )
    return tuple(paths)


def as_png(tool: str, data: bytes, max_bytes: int) -> bytes:
    """`data` in another format, by `sips`; b'' where it cannot."""
    with scratch_folder() as folder:
        given, out = folder / "picture", folder / "picture.png"
        given.write_bytes(data)
        ran = run([tool, "-s", "format", "png", str(given), "--out", str(out)], 2**16)
        return b"" if ran.late else _read(out, max_bytes)


def _read(out: Path, max_bytes: int) -> bytes:
    """B'' where nothing was written, or more than is taken."""
    try:
        return read_bytes(out, max_bytes)
    except (OSError, ValueError):
        return b""

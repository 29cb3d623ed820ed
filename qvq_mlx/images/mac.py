"""The seam to macOS's own tools: `screencapture`, `osascript` (AppKit) and `sips`.

Each is found by its name on PATH, so a stand-in there takes its place. What they make lies in a
temporary folder of ours that is gone when the call ends.
"""

from __future__ import annotations

from pathlib import Path

from qvq_mlx.core.errors import ImageUnreadableError, StoppedError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.system.programs import found, run
from qvq_mlx.system.reading import read_bytes
from qvq_mlx.system.scratch import scratch_folder

_SCREEN_SETTINGS = RunProgram(
    ("open", "x-apple.systempreferences:com.apple.preference.security?Privacy_ScreenCapture")
)
# A file that was copied in the Finder comes first: beside it lies a picture of its icon.
_PASTEBOARD = """
ObjC.import('AppKit')
function run(argv) {
  const board = $.NSPasteboard.generalPasteboard
  const link = board.stringForType('public.file-url')
  if (!link.isNil()) return ObjC.unwrap($.NSURL.URLWithString(link).path)
  const kinds = ['public.png', 'public.jpeg', 'public.heic', 'public.tiff', 'com.adobe.pdf']
  for (const kind of kinds) {
    const data = board.dataForType(kind)
    if (!data.isNil()) { data.writeToFileAtomically(argv[0], true); break }
  }
  return ''
}
"""


def screenshot(path: str | None, max_bytes: int) -> bytes:
    """Return the part of the screen that the user marks, as a PNG.

    Raises StoppedError where they gave it up, ImageUnreadableError where nothing can be taken.
    """
    tool = found("screencapture", path)
    if tool is None:
        raise ImageUnreadableError("screen: screencapture, a part of macOS, is not here", Ask())
    with scratch_folder() as folder:
        out = folder / "screen.png"
        # nobody is hurried: the user may look for the right window first
        ran = run([tool, "-i", "-x", "-t", "png", str(out)], 4096, wait_s=None)
        if data := _read(out, max_bytes):
            return data
    if ran.said:
        raise ImageUnreadableError(f"screen: screencapture says: {ran.said}", _SCREEN_SETTINGS)
    raise StoppedError("screen: no part of the screen was marked", Ask(("screen",)))


def pasteboard(tool: str, max_bytes: int) -> bytes | str:
    """The clipboard's picture, or the path of the file that was copied; b'' where it holds none.

    `tool` is osascript. Raises ImageUnreadableError where it fails.
    """
    with scratch_folder() as folder:
        out = folder / "clip"
        ran = run([tool, "-l", "JavaScript", "-e", _PASTEBOARD, str(out)], 2**16)
        if ran.code or ran.late:
            reason = ran.said or f"it ended with {ran.code}"
            raise ImageUnreadableError(f"clip: osascript says: {reason}", Ask())
        link = ran.output.decode(errors="surrogateescape").removesuffix("\n")
        return link or _read(out, max_bytes)


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

"""The picture on the clipboard: `osascript` on macOS, `wl-paste` or `xclip` on Linux.

The first of these that is on PATH is asked. Files that were copied in the Finder are read as if
their paths had been typed.
"""

from __future__ import annotations

from qvq_mlx.core.errors import ImageSizeError, ImageUnreadableError
from qvq_mlx.core.remedies import Ask, RunProgram
from qvq_mlx.images import mac
from qvq_mlx.system.programs import Ran, found, run

_KINDS = ("image/png", "image/jpeg", "image/webp", "image/tiff", "image/bmp", "image/gif")
_EMPTY = "clip: no picture is on the clipboard"


def copied(path: str | None, max_bytes: int) -> bytes | tuple[str, ...]:
    """The clipboard's picture, or the paths of files that were copied, in their order.

    Raises ImageUnreadableError where there is neither, or nobody to ask.
    """
    if tool := found("osascript", path):
        if held := mac.pasteboard(tool, max_bytes):
            return held
        raise ImageUnreadableError(_EMPTY, RunProgram(("osascript", "-e", "clipboard info")))
    if tool := found("wl-paste", path):
        listing, give = [tool, "--list-types"], [tool, "--no-newline", "--type"]
    elif tool := found("xclip", path):
        give = [tool, "-selection", "clipboard", "-o", "-t"]
        listing = [*give, "TARGETS"]
    else:
        raise ImageUnreadableError(
            "clip: none of osascript, wl-paste and xclip is here to ask the clipboard",
            Ask(("-",), stdin="image.png"),
        )
    offered = run(listing, 2**16).output.decode(errors="replace").split()
    kind = next((kind for kind in _KINDS if kind in offered), None)
    if kind is None:
        raise ImageUnreadableError(_EMPTY, RunProgram(tuple(listing)))
    return _bytes(run([*give, kind], max_bytes), max_bytes)


def _bytes(ran: Ran, max_bytes: int) -> bytes:
    if len(ran.output) > max_bytes:
        raise ImageSizeError(f"clip: the clipboard holds more than {max_bytes / 2**20:.0f} MiB")
    if ran.code or ran.late or not ran.output:
        reason = ran.said or "it came too late" if ran.late else ran.said or f"code {ran.code}"
        raise ImageUnreadableError(f"clip: the clipboard's picture did not come ({reason})")
    return ran.output

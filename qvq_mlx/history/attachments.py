"""The bytes of pictures that cannot be read again, beside the history: a follow-up needs them.

Law: a file is called by the SHA-256 of its bytes, appears whole or not at all, is readable by its
owner only, and is believed only where its bytes have that hash. The same bytes are kept once.
More than MAX_BYTES of one source are not kept.

Piped images, the clipboard, the screen, URLs and data URIs are kept, files on the disk are not:
whether one can be read again is for `images` to say.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from qvq_mlx.core.rounds import ATTACHMENTS, Attachment
from qvq_mlx.system.files import write_private

MAX_BYTES = 64 * 2**20

_HASH = re.compile(r"[0-9a-f]{64}")


def folder_in(history_folder: Path) -> Path:
    """Return the folder of the attachments."""
    return history_folder / ATTACHMENTS


def keep(attachment: Attachment, folder: Path) -> None:
    """Write it, unless it is there. Raises OSError, also for what is too large."""
    path = folder / attachment.sha256
    if len(attachment.data) > MAX_BYTES:
        raise OSError(
            f"{len(attachment.data) / 2**20:,.0f} MiB, and {MAX_BYTES / 2**20:.0f} MiB are kept"
        )
    if path.exists():
        return
    write_private(path, attachment.data)


def find(sha256: str, folder: Path) -> bytes | None:
    """The bytes of that hash; None where they are not kept, or are no longer what they were."""
    if not _HASH.fullmatch(sha256):
        return None
    try:
        data = (folder / sha256).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest() == sha256 else None

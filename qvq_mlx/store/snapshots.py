"""Makes the files of a commit visible under `snapshots/`: links to blobs, or the files themselves.

Law: a snapshot appears by one rename when all of its files are there, and a reference is written
last. A volume without symbolic links (exFAT, FAT, many SMB shares) is found out before anything is
moved: there the files go from `blobs/` into the snapshot, where every tool reads them, and
`.qvq-files.json` keeps the hash of each, written first. So nothing is fetched twice after a kill,
and every file can be verified.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from qvq_mlx.store.download import Listing
from qvq_mlx.store.layout import (
    RepoFolder,
    bytes_of,
    keep_placed,
    size_of,
    unplaced,
    write_marker,
)
from qvq_mlx.system.files import PendingFile, make_link, move, write_shared

Link = Callable[[Path, str], None]
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}


def publish(folder: RepoFolder, listing: Listing, link: Link = make_link) -> Path:
    """Make the snapshot visible, then what its revision means. All blobs are there.

    A snapshot that another tool left half is filled up. Raises OSError.
    """
    final = folder.snapshot(listing.commit)
    if _has_links(folder, link):
        _link_all(folder, listing, final, link)
    else:
        _place_all(folder, listing, final)
    if listing.revision != listing.commit:
        write_shared(folder.root / "refs" / listing.revision, listing.commit.encode())
    write_marker(folder, listing, done=True)
    return final


def _has_links(folder: RepoFolder, link: Link) -> bool:
    """True if the volume has symbolic links. Raises OSError where that cannot be said."""
    folder.root.mkdir(parents=True, exist_ok=True)
    probe = folder.root / f".qvq-link-{secrets.token_hex(4)}"
    try:
        link(probe, "nowhere")
    except OSError as error:
        if error.errno in _NO_LINKS:
            return False
        raise
    probe.unlink()
    return True


def _link_all(folder: RepoFolder, listing: Listing, final: Path, link: Link) -> None:
    fresh = final.parent / f".{listing.commit}.{secrets.token_hex(4)}"
    place = final if final.is_dir() else fresh
    for file in listing.files:
        path = place / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        target = os.path.relpath(folder.blob(file.blob), (final / file.path).parent)
        if not (path.is_symlink() and path.readlink() == Path(target)):
            link(path, target)
    if place is fresh:
        move(fresh, final)


def _place_all(folder: RepoFolder, listing: Listing, final: Path) -> None:
    """Move every blob to its last path in the listing, and copy it to the others."""
    keep_placed(folder, listing)
    fresh = unplaced(folder, listing.commit)
    place = final if final.is_dir() else fresh
    left = Counter(file.blob for file in listing.files)
    for file in listing.files:
        left[file.blob] -= 1
        path, blob = place / file.path, folder.blob(file.blob)
        path.parent.mkdir(parents=True, exist_ok=True)
        if blob.is_file() and not left[file.blob]:
            move(blob, path)
        elif blob.is_file() or size_of(path) != file.size_bytes:
            with PendingFile(path, mode=None) as pending:
                shutil.copyfile(bytes_of(folder, file.blob), pending.path)
                pending.commit()
    if place is fresh:
        move(fresh, final)

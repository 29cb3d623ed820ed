"""A cache on a foreign volume: without links, without locks, with a Mac's notes beside files."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qvq_mlx.core.card import ModelCard
from qvq_mlx.store import archive, garbage, hub, layout, local, snapshots
from qvq_mlx.store.download import BytesReceived, Damaged, Listing, PullDone, RemoteFile, Verified
from qvq_mlx.store.verify import verify
from qvq_mlx.system.space import free_bytes
from tests.store.test_pull_store import FILES, WANTED, flip
from tests.support.hub import client
from tests.support.hub.server import REPO, Hub

ROOT = Path(__file__).parents[2]
CARD = ModelCard(REPO, "", "", "", repo=REPO)


def no_links(path: Path, target: str) -> None:
    """As exFAT says it on a Mac; Linux says EPERM. https://github.com/relan/exfat/issues/68."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(path))


DISK = hub.Disk(link=no_links)


@pytest.fixture
def served() -> Iterator[Hub]:
    with Hub(dict(FILES)) as server:
        yield server


def pull(served: Hub, cache: Path, disk: hub.Disk = DISK) -> Path:
    *_, last = client.pull(served.endpoint, cache, disk=disk)
    assert isinstance(last, PullDone)
    return layout.RepoFolder(cache, REPO).snapshot(
        layout.RepoFolder(cache, REPO).references()["main"]
    )


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pull_without_links_leaves_files_and_fetches_nothing_twice(
    served: Hub, tmp_path: Path
) -> None:
    snapshot = pull(served, tmp_path)
    assert content(snapshot) == {name: FILES[name] for name in WANTED}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    folder = layout.RepoFolder(tmp_path, REPO)
    assert list(folder.blobs.iterdir()) == [], "on the disk once, not twice"
    assert local.snapshot(CARD, tmp_path) == snapshot.resolve()
    before = served.served
    pull(served, tmp_path)
    pull(served, tmp_path)
    assert served.served == before
    assert not list(garbage.leftovers(folder, 9e9))


def test_files_without_links_are_verified_and_travel(served: Hub, tmp_path: Path) -> None:
    snapshot = pull(served, tmp_path / "hub")
    folder = layout.RepoFolder(tmp_path / "hub", REPO)
    assert sum(isinstance(event, Verified) for event in verify(folder)) == len(WANTED)
    list(archive.export(folder, snapshot.name, tmp_path / "m.tar"))
    list(archive.import_(tmp_path / "m.tar", tmp_path / "other", free_bytes, print))
    assert content(local.snapshot(CARD, tmp_path / "other")) == content(snapshot)
    flip(snapshot / "model.safetensors", -1)
    assert [event.path for event in verify(folder) if isinstance(event, Damaged)] == [
        "model.safetensors"
    ]
    freed = garbage.remove([garbage.revision(folder, snapshot.name)])
    assert freed >= sum(len(FILES[name]) for name in WANTED)
    assert not snapshot.exists()


@pytest.mark.parametrize("moved", [1, 2, 3])
def test_a_kill_between_two_moves_costs_no_download(
    served: Hub, tmp_path: Path, moved: int
) -> None:
    folder = layout.RepoFolder(tmp_path, REPO)
    listing = client.listing(served.endpoint)
    program = (
        "import os, sys; from pathlib import Path\n"
        "from qvq_mlx.store import snapshots\n"
        "from tests.store.test_volumes import DISK\n"
        "from tests.support.hub import client\n"
        "left, real = [int(sys.argv[3])], snapshots.move\n"
        "def move(source, target):\n"
        "    real(source, target); left[0] -= 1\n"
        "    if not left[0]: os.kill(os.getpid(), 9)\n"
        "snapshots.move = move\n"
        "for _ in client.pull(sys.argv[1], Path(sys.argv[2]), disk=DISK): pass\n"
    )
    argv = [sys.executable, "-c", program, served.endpoint, str(tmp_path), str(moved)]
    assert subprocess.run(argv, cwd=ROOT, check=False).returncode == -9
    assert folder.commits() == (), "nothing half is visible"
    assert all(layout.is_whole(folder, file) for file in listing.files)
    before = served.served
    assert content(pull(served, tmp_path)) == {name: FILES[name] for name in WANTED}
    assert served.served == before


def test_equal_files_are_two_files(tmp_path: Path) -> None:
    folder = layout.RepoFolder(tmp_path, REPO)
    blob = "ab" * 20
    folder.blobs.mkdir(parents=True)
    folder.blob(blob).write_bytes(b"same")
    files = tuple(RemoteFile(name, blob, 4) for name in ("a.json", "deep/b.json", "c.json"))
    for commit in ("0" * 40, "1" * 40):  # the second has nothing but the first one's files
        place = snapshots.publish(folder, Listing(REPO, "main", commit, files), no_links)
        assert [(place / file.path).read_bytes() for file in files] == [b"same"] * 3


def test_another_failure_of_a_link_is_not_taken_for_a_volume_without_them(tmp_path: Path) -> None:
    def full(path: Path, target: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    folder = layout.RepoFolder(tmp_path, REPO)
    with pytest.raises(OSError, match="space"):
        snapshots.publish(folder, Listing(REPO, "main", "0" * 40, ()), full)


def test_a_macs_notes_beside_files_are_no_files_of_ours(served: Hub, tmp_path: Path) -> None:
    """`._NAME` on exFAT and SMB: https://github.com/SceneWorks/SceneWorks/issues/1333."""
    folder = layout.RepoFolder(tmp_path, REPO)
    for disk in (hub.Disk(), DISK):
        snapshot = pull(served, tmp_path, disk)
        for name in ("model.safetensors", "config.json"):
            (snapshot / f"._{name}").write_bytes(b"\0\x05\x16\x07")
        (folder.root / "refs" / "._main").write_bytes(b"\0\x05\x16\x07")
        (folder.root / "snapshots" / f"._{snapshot.name}").write_bytes(b"\0\x05\x16\x07")
        assert local.snapshot(CARD, tmp_path) == snapshot.resolve()
        assert not any(isinstance(event, Damaged) for event in verify(folder))
        assert folder.references() == {"main": snapshot.name}
        assert folder.commits() == (snapshot.name,)
        assert not any(
            isinstance(event, BytesReceived) for event in client.pull(served.endpoint, tmp_path)
        )


def test_no_lock_of_a_volume_without_locks_waits(tmp_path: Path) -> None:
    """SMB on macOS says ENOTSUP: https://github.com/EC-DIGIT-CSIRC/sysdiagnose/issues/92.

    The pull, the conversion, the big model and a batch go on.
    """
    program = (
        "import errno, fcntl, sys\n"
        "def flock(descriptor, operation): raise OSError(errno.ENOTSUP, 'not supported')\n"
        "fcntl.flock = flock\n"
        "from pathlib import Path\n"
        "from qvq_mlx.batch.ledger import open_ledger\n"
        "from qvq_mlx.core.tokens import Control\n"
        "from qvq_mlx.memory.lock import BigModelLock\n"
        "from qvq_mlx.store import layout, staging\n"
        "root = Path(sys.argv[1])\n"
        "folder = layout.RepoFolder(root, 'org/name')\n"
        "def never(seconds): raise AssertionError('it waits')\n"
        "for _ in range(2):\n"
        "    with layout.locked(folder) as mine: assert mine\n"
        "    assert list(BigModelLock(root, never).take(Control(), wait=True)) == []\n"
        "    with staging.staged(root / 'target') as place: (place / 'config.json').touch()\n"
        "    open_ledger(root / 'out.jsonl', lambda record: False).close()\n"
        "print('done')\n"
    )
    argv = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "done\n", done.stderr

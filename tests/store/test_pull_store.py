"""verify, rm, prune, export, import: over a cache that a real pull made."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from qvq_mlx.core.errors import (
    ArchiveError,
    BrokenModelError,
    DamagedError,
    DiskFullError,
    ModelNotOnDiskError,
    NetworkError,
    StoppedError,
    UsageError,
)
from qvq_mlx.store import archive, garbage, layout, local, registry
from qvq_mlx.store.download import (
    BytesReceived,
    Damaged,
    FileStarted,
    Listing,
    RemoteFile,
    Verified,
)
from qvq_mlx.store.verify import verify
from qvq_mlx.system.space import free_bytes
from tests.store.test_store import safetensors
from tests.support.hub import client
from tests.support.hub.server import REPO, Fault, Hub, blob_of
from tests.support.spelling import hint_of

FILES = {
    "config.json": b'{"model_type": "qwen2_vl"}',
    "tokenizer.json": b"{}",
    "model.safetensors": safetensors("a", "b"),
    "modeling_evil.py": b"raise SystemExit",
    "pytorch_model.bin": b"pickle",
    "LICENSE": b"do what you like",
    "onnx/model.json": b"{}",
}
WANTED = {"config.json", "tokenizer.json", "model.safetensors", "LICENSE"}
NOW_S = 2e9


@pytest.fixture
def served() -> Iterator[Hub]:
    with Hub(dict(FILES)) as server:
        yield server


@pytest.fixture
def folder(served: Hub, tmp_path: Path) -> layout.RepoFolder:
    list(client.pull(served.endpoint, tmp_path / "hub"))
    return layout.RepoFolder(tmp_path / "hub", REPO)


def flip(path: Path, at: int = 20) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.resolve().write_bytes(data)


def test_only_what_a_model_needs_is_fetched_and_never_code(folder: layout.RepoFolder) -> None:
    (commit,) = folder.commits()
    assert {path.name for path in folder.snapshot(commit).iterdir()} == WANTED
    card = registry.find(REPO)
    assert registry.folder_of(card, folder.hub_cache) == folder.snapshot(commit)


def test_a_flipped_bit_is_named_and_only_that_file_is_fetched_again(
    served: Hub, folder: layout.RepoFolder
) -> None:
    (commit,) = folder.commits()
    assert all(not isinstance(event, Damaged) for event in verify(folder))
    path = folder.snapshot(commit) / "model.safetensors"
    for at in range(0, path.stat().st_size, 11):
        flip(path, at)
        found = [event for event in verify(folder) if isinstance(event, Damaged)]
        assert [event.path for event in found] == ["model.safetensors"]
        served.requests.clear()
        list(client.pull(served.endpoint, folder.hub_cache, again=[path.resolve().name]))
        assert [request.path for request in served.requests if request.cdn] == ["model.safetensors"]
        assert served.served == len(FILES["model.safetensors"])
        assert path.read_bytes() == FILES["model.safetensors"]


def test_a_missing_blob_and_a_name_that_is_no_hash(folder: layout.RepoFolder) -> None:
    (commit,) = folder.commits()
    snapshot = folder.snapshot(commit)
    (snapshot / "config.json").resolve().unlink()
    (folder.blobs / "some-etag").write_bytes(b"x")
    (snapshot / "odd.json").symlink_to("../../blobs/some-etag")
    (snapshot / "copy.json").write_bytes(b"{}")
    found = {event.path: event.reason for event in verify(folder) if isinstance(event, Damaged)}
    assert found == {
        "config.json": "is missing",
        "odd.json": "has no hash to check it against",
        "copy.json": "has no hash to check it against",
    }


def cut(path: Path) -> None:
    target = path.resolve()
    target.write_bytes(target.read_bytes()[:-1])


def add_tensor(path: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "z": "model.safetensors"}}
    (path.parent / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (cut, "is 129 bytes long and should be 130"),
        (lambda path: path.resolve().write_bytes(b"\xff" * 40), "no whole safetensors file"),
        (lambda path: path.resolve().write_bytes(b"\4" + bytes(7) + b"[1]]"), "its header"),
        (lambda path: path.resolve().write_bytes(b"abc"), "no whole safetensors file"),
        (add_tensor, "does not hold z"),
    ],
)
def test_a_snapshot_that_is_not_what_its_headers_say(
    folder: layout.RepoFolder, damage: Callable[[Path], object], words: str
) -> None:
    (commit,) = folder.commits()
    damage(folder.snapshot(commit) / "model.safetensors")
    with pytest.raises(BrokenModelError, match=words) as caught:
        registry.folder_of(registry.find(REPO), folder.hub_cache)
    assert hint_of(caught.value) == f"qvq verify {REPO}"


def test_half_a_model_is_told_from_none(served: Hub, tmp_path: Path) -> None:
    card = registry.find(REPO)
    with pytest.raises(ModelNotOnDiskError, match="nothing lies in"):
        local.snapshot(card, tmp_path)
    served.faults = lambda request: (
        (Fault(cut=50) if not request.start else Fault(status=503))
        if request.path.startswith("model.")
        else Fault()
    )
    with pytest.raises(NetworkError, match="503; 50 of 130 bytes are here and are kept"):
        list(client.pull(served.endpoint, tmp_path))
    total = sum(len(FILES[name]) for name in WANTED)
    here = total - len(FILES["model.safetensors"]) + 50
    with pytest.raises(ModelNotOnDiskError, match=f"{here} of {total} bytes") as caught:
        local.snapshot(card, tmp_path)
    assert hint_of(caught.value) == f"qvq pull {REPO}"


def test_rm_frees_what_it_says(folder: layout.RepoFolder) -> None:
    found = garbage.model(folder)
    total = sum(len(FILES[name]) for name in WANTED)
    said = found.freed_bytes
    assert said >= total
    assert garbage.remove([found]) == said
    assert not folder.root.exists()
    assert not list(folder.hub_cache.rglob("*.safetensors"))


@pytest.fixture
def two(served: Hub, folder: layout.RepoFolder) -> tuple[str, str]:
    """Two revisions that share all but one file: the old and the new one."""
    (old,) = folder.commits()
    served.files["config.json"] = b'{"model_type": "qwen2_vl", "new": 1}'
    list(client.pull(served.endpoint, folder.hub_cache))
    (new,) = set(folder.commits()) - {old}
    return old, new


def test_a_new_revision_fetches_only_what_changed(served: Hub, two: tuple[str, str]) -> None:
    assert served.served == sum(len(FILES[name]) for name in WANTED) + 36


def test_rm_of_a_revision_keeps_what_another_uses(
    folder: layout.RepoFolder, two: tuple[str, str]
) -> None:
    old, new = two
    freed = garbage.remove([garbage.revision(folder, old)])
    assert freed == len(FILES["config.json"])
    assert folder.commits() == (new,)
    assert all(not isinstance(event, Damaged) for event in verify(folder))
    assert folder.references() == {"main": new}


def test_prune_takes_old_revisions_loose_blobs_and_stale_parts(
    folder: layout.RepoFolder, two: tuple[str, str]
) -> None:
    _, new = two
    (folder.blobs / ("9" * 64)).write_bytes(b"loose")
    folder.part("8" * 64).write_bytes(b"stale")
    (folder.blobs / f"{'7' * 64}.0a1b2c3d.incomplete").write_bytes(b"of another tool")
    found = list(garbage.leftovers(folder, NOW_S))
    assert garbage.remove(found) == len(FILES["config.json"]) + 5 + 5 + 15
    assert not list(garbage.leftovers(folder, NOW_S))
    assert folder.commits() == (new,)
    assert sum(isinstance(event, Verified) for event in verify(folder)) == len(WANTED)


def test_prune_takes_a_snapshot_that_was_not_finished(folder: layout.RepoFolder) -> None:
    (commit,) = folder.commits()
    left = folder.root / "snapshots" / f".{commit}.0a1b2c3d"
    left.mkdir()
    (left / "config.json").symlink_to("../../blobs/x")
    (folder.root / "snapshots" / ".DS_Store").write_bytes(b"a Mac's")
    (found,) = garbage.leftovers(folder, NOW_S)
    assert found.paths == (left,)
    garbage.remove([found])
    assert not left.exists()


@pytest.mark.parametrize("name", [".DS_Store", "._config.json", "Icon\r", "Thumbs.db"])
def test_what_a_file_manager_lays_beside_files_is_no_damage(
    folder: layout.RepoFolder, name: str
) -> None:
    (commit,) = folder.commits()
    (folder.snapshot(commit) / name).write_bytes(b"of nobody")
    assert all(
        isinstance(event, (FileStarted, BytesReceived, Verified)) for event in verify(folder)
    )


def test_a_file_of_a_repository_is_checked_whatever_it_is_called(folder: layout.RepoFolder) -> None:
    (commit,) = folder.commits()
    (folder.blobs / ("5" * 40)).write_bytes(b"another")
    (folder.snapshot(commit) / ".DS_Store").symlink_to(f"../../blobs/{'5' * 40}")
    (found,) = [event for event in verify(folder) if isinstance(event, Damaged)]
    assert found.path == ".DS_Store"


def test_a_part_that_is_a_link_is_not_written_through(served: Hub, tmp_path: Path) -> None:
    folder = layout.RepoFolder(tmp_path / "hub", REPO)
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    for path in WANTED:
        part = folder.part(blob_of(path, served.files[path]))
        part.parent.mkdir(parents=True, exist_ok=True)
        part.symlink_to(victim)
    list(client.pull(served.endpoint, folder.hub_cache))
    assert victim.read_bytes() == b"mine"
    assert sum(isinstance(event, Verified) for event in verify(folder)) == len(WANTED)


def test_a_snapshot_that_no_reference_names_is_found(folder: layout.RepoFolder) -> None:
    (commit,) = folder.commits()
    (folder.root / "refs" / "main").unlink()
    assert local.current(folder) == folder.snapshot(commit)
    folder.snapshot("f" * 40).mkdir()
    assert local.current(folder) is None


def test_prune_leaves_an_unfinished_pull_and_other_programs_alone(
    served: Hub, folder: layout.RepoFolder
) -> None:
    served.files["model.safetensors"] = safetensors("a", "b", "c")
    served.files["vocab.json"] = b"{1}"
    served.faults = lambda request: (
        Fault(cut=9)
        if request.cdn and not request.start
        else (Fault(status=503) if request.cdn else Fault())
    )
    with pytest.raises(NetworkError, match="503"):
        list(client.pull(served.endpoint, folder.hub_cache))
    now_s = layout.marker(folder).stat().st_mtime
    assert not list(garbage.leftovers(folder, now_s + 86_400))
    assert len(list(garbage.leftovers(folder, now_s + 40 * 86_400))) == 2
    layout.marker(folder).unlink()
    assert not list(garbage.leftovers(folder, now_s + 40 * 86_400))


def exported(folder: layout.RepoFolder, target: Path) -> Path:
    (commit,) = folder.commits()
    list(archive.export(folder, commit, target))
    return target


def never(change: str) -> None:
    raise StoppedError(change)


def take(source: Path, cache: Path, ask: Callable[[str], None] = never, repo: str = "") -> Listing:
    *_, last = archive.import_(source, cache, free_bytes, ask, repo)
    assert isinstance(last, Listing)
    return last


def test_a_model_travels_in_one_file(folder: layout.RepoFolder, tmp_path: Path) -> None:
    source = exported(folder, tmp_path / "m.tar")
    again = exported(folder, tmp_path / "again.tar")
    assert source.read_bytes() == again.read_bytes()
    found = take(source, tmp_path / "other")
    card = registry.find(REPO)
    here = registry.folder_of(card, tmp_path / "other")
    assert {path.name: path.read_bytes() for path in here.iterdir()} == {
        name: FILES[name] for name in WANTED
    }
    assert found.commit == here.name
    other = layout.RepoFolder(tmp_path / "other", REPO)
    assert all(not isinstance(event, Damaged) for event in verify(other))
    assert take(source, tmp_path / "other") == found  # once more does no harm
    with tarfile.open(source) as tar:
        assert all(member.isreg() and member.mtime == 0 for member in tar)


def test_a_damaged_model_is_not_exported(folder: layout.RepoFolder, tmp_path: Path) -> None:
    (commit,) = folder.commits()
    flip(folder.snapshot(commit) / "model.safetensors", -1)
    with pytest.raises(DamagedError, match="is damaged"):
        exported(folder, tmp_path / "m.tar")
    assert not list(tmp_path.glob("*.tar*")) + list(tmp_path.glob(".*tar*"))


def nothing_appeared(cache: Path) -> bool:
    return not list(cache.glob("models--*")) and not list(cache.glob(".qvq*"))


def test_no_flipped_byte_of_an_archive_gets_in(folder: layout.RepoFolder, tmp_path: Path) -> None:
    source = exported(folder, tmp_path / "m.tar")
    data = source.read_bytes()
    good = {path: (folder.root / path).read_bytes() for path in _files(folder.root)}
    refused = 0
    for at in range(0, len(data), 37):
        bad = bytearray(data)
        bad[at] ^= 0x41
        source.write_bytes(bad)
        cache = tmp_path / f"c{at}"
        try:
            take(source, cache)
        except ArchiveError:
            refused += 1
            assert nothing_appeared(cache)
        else:  # padding, or a word of the manifest that is a name: what came is what was sent
            other = layout.RepoFolder(cache, layout.repo_folders(cache)[0].repo)
            assert all(not isinstance(event, Damaged) for event in verify(other))
            blobs = {path.name: path.read_bytes() for path in other.blobs.iterdir()}
            assert blobs == {p.name: b for p, b in good.items() if p.parent.name == "blobs"}
    assert refused > 20


@pytest.mark.parametrize("end", [0, 100, 512, 700, 3000, 5000])
def test_a_cut_archive_is_refused(folder: layout.RepoFolder, tmp_path: Path, end: int) -> None:
    source = exported(folder, tmp_path / "m.tar")
    source.write_bytes(source.read_bytes()[:end])
    with pytest.raises(ArchiveError):
        take(source, tmp_path / "c")
    assert nothing_appeared(tmp_path / "c")


HELLO = {
    "path": "x.json",
    "blob": blob_of("x.json", b"hello"),
    "size_bytes": 5,
    "sha256": hashlib.sha256(b"hello").hexdigest(),
}


def forged(target: Path, **changes: object) -> Path:
    """An archive with right hashes and one thing that must not be."""
    data = b"hello"
    blob = blob_of("x.json", data)
    entry = {"path": "x.json", "blob": blob, "size_bytes": 5}
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    manifest: dict[str, object] = {"format": 1, "repo": "o/m", "commit": "0" * 40}
    manifest |= {"references": ["main"], "files": [entry]}
    member = tarfile.TarInfo(f"blobs/{blob}")
    member.size = 5
    extra: list[tuple[tarfile.TarInfo, bytes]] = []
    for key, value in changes.items():
        match key:
            case "member":
                assert callable(value)
                value(member)
            case "extra":
                assert isinstance(value, tarfile.TarInfo)
                extra.append((value, b""))
            case "path" | "blob" | "size_bytes" | "sha256":
                entry[key] = value
            case _:
                manifest[key] = value
    text = json.dumps(manifest).encode()
    first = tarfile.TarInfo("qvq-model.json")
    first.size = len(text)
    with tarfile.open(target, "w") as tar:
        tar.addfile(first, io.BytesIO(text))
        tar.addfile(member, io.BytesIO(data))
        for info, content in extra:
            tar.addfile(info, io.BytesIO(content))
    return target


def link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname, member.size = tarfile.SYMTYPE, "/etc/passwd", 0


def hard_link(member: tarfile.TarInfo) -> None:
    member.type, member.linkname, member.size = tarfile.LNKTYPE, "qvq-model.json", 0


def elsewhere(member: tarfile.TarInfo) -> None:
    member.name = "../../evil"


def commented(member: tarfile.TarInfo) -> None:
    member.pax_headers = {"comment": "x" * 5000}


def sparse(member: tarfile.TarInfo) -> None:
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}


def resized(member: tarfile.TarInfo) -> None:
    member.pax_headers = {"size": "9" * 12}


def old_sparse(member: tarfile.TarInfo) -> None:
    member.type = tarfile.GNUTYPE_SPARSE


def outside() -> tarfile.TarInfo:
    return tarfile.TarInfo("../evil")


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "../../evil"},
        {"path": "/tmp/evil"},
        {"repo": "../evil"},
        {"repo": "a/../b"},
        {"repo": "a--b/c"},
        {"commit": "../../x"},
        {"commit": "main"},
        {"references": ["../../x"]},
        {"references": ["/x"]},
        {"blob": "../evil"},
        {"blob": "0" * 40},
        {"sha256": "0" * 64},
        {"size_bytes": 4},
        {"size_bytes": -1},
        {"files": []},
        {"files": 7},
        {"files": [{**HELLO, "path": "a"}, {**HELLO, "path": "a/b"}]},
        {"files": [HELLO, HELLO]},
        {"format": 2},
        {"member": link},
        {"member": hard_link},
        {"member": elsewhere},
        {"member": commented},
        {"member": sparse},
        {"member": old_sparse},
        {"member": resized},
        {"path": "modeling_evil.py"},
        {"path": "pytorch_model.bin"},
        {"path": ".git/hooks/post-checkout"},
        {"extra": outside()},
    ],
    ids="-".join,
)
def test_a_forged_archive_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    cache = tmp_path / "deep" / "cache"
    with pytest.raises(ArchiveError):
        take(forged(tmp_path / "f.tar", **changes), cache)
    assert nothing_appeared(cache)
    assert not list(tmp_path.rglob("*evil*"))


def test_the_forger_can_also_be_honest(tmp_path: Path) -> None:
    assert take(forged(tmp_path / "f.tar"), tmp_path / "c").repo == "o/m"


def test_a_long_header_costs_no_memory(tmp_path: Path) -> None:
    """It says that it has 8 GB, and is refused before they are read."""
    source = forged(tmp_path / "f.tar")
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 8**11 - 1
    source.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + source.read_bytes())
    with pytest.raises(ArchiveError, match="extended header of 8,589,934,591 bytes"):
        take(source, tmp_path / "c")


def test_an_archive_changes_nothing_that_is_here_without_a_question(
    folder: layout.RepoFolder, tmp_path: Path
) -> None:
    """It calls itself by the name of a model that was pulled, with another commit or file."""
    (commit,) = folder.commits()
    for changes in ({"repo": REPO}, {"repo": REPO, "commit": commit, "path": "config.json"}):
        source = forged(tmp_path / "f.tar", **changes)
        before = set(_files(folder.root))
        with pytest.raises(StoppedError, match=" here"):
            take(source, folder.hub_cache)
        assert set(_files(folder.root)) == before
        assert folder.references() == {"main": commit}
    told: list[str] = []
    take(forged(tmp_path / "f.tar", repo=REPO), folder.hub_cache, told.append)
    assert told == [f"main of {REPO} is {commit[:12]} here, and {'0' * 12} in the archive"]
    assert folder.references() == {"main": "0" * 40}


def test_an_archive_gets_another_name(folder: layout.RepoFolder, tmp_path: Path) -> None:
    source = forged(tmp_path / "f.tar", repo=REPO)
    assert take(source, folder.hub_cache, repo="mine/m").repo == "mine/m"
    assert "0" * 40 not in folder.references().values()
    with pytest.raises(UsageError, match="no name of a model"):
        take(source, folder.hub_cache, repo="../m")


def test_an_archive_that_does_not_fit_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError, match="free"):
        list(archive.import_(forged(tmp_path / "f.tar"), tmp_path / "c", lambda _path: 4, never))
    assert nothing_appeared(tmp_path / "c")


def test_publish_fills_up_what_another_tool_left_half(
    served: Hub, folder: layout.RepoFolder
) -> None:
    (commit,) = folder.commits()
    (folder.snapshot(commit) / "config.json").unlink()
    (folder.snapshot(commit) / "tokenizer.json").unlink()
    (folder.snapshot(commit) / "tokenizer.json").symlink_to("../../blobs/nowhere")
    before = served.served
    list(client.pull(served.endpoint, folder.hub_cache))
    assert served.served == before
    assert (folder.snapshot(commit) / "tokenizer.json").read_bytes() == b"{}"
    assert {path.name for path in folder.snapshot(commit).iterdir()} == WANTED


def test_a_damaged_note_is_no_note(tmp_path: Path) -> None:
    folder = layout.RepoFolder(tmp_path, REPO)
    listing = Listing(REPO, "main", "0" * 40, (RemoteFile("a", "b" * 40, 1),))
    layout.write_marker(folder, listing)
    assert layout.unfinished(folder) == listing
    for text in ("", "[]", "{}", '{"files": [["a", "../x", 1]], "done": false}'):
        layout.marker(folder).write_text(text)
        assert layout.unfinished(folder) is None


def _files(root: Path) -> Iterator[Path]:
    for name, _, files in os.walk(root):
        for file in files:
            yield (Path(name) / file).relative_to(root)

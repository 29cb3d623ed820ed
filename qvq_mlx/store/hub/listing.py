"""List a repository: its commit, and the files of it that a model needs (`store/wanted.py`).

Law: every name, hash and size of the server's is checked before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from qvq_mlx.core.errors import (
    AccessError,
    GatedError,
    InputError,
    NetworkError,
    UnsupportedModelError,
    UsageError,
)
from qvq_mlx.core.remedies import RunProgram, Show
from qvq_mlx.families import check_runs
from qvq_mlx.store import layout
from qvq_mlx.store.download import HubAccess, Listing, RemoteFile
from qvq_mlx.store.hub.transfer import Pace
from qvq_mlx.store.hub.wire import Head, Hitch, Wire
from qvq_mlx.store.layout import RepoKind
from qvq_mlx.store.wanted import is_wanted
from qvq_mlx.system.reading import parse_json

_TRIES = 4
_PATIENCE_S = 120.0
_MAX_PAGES = 200
"""The Hub lists a thousand files on a page."""


def listing(
    repo: str,
    revision: str,
    access: HubAccess,
    pace: Pace,
    now: Callable[[], datetime],
    data: Callable[[str], bool] | None = None,
) -> Listing:
    """The files of a revision: of a model, or of a data set those whose path is its `data`.

    Raises NetworkError, AccessError, UnsupportedModelError, InputError for a data set without data.
    """
    kind = RepoKind.MODEL if data is None else RepoKind.DATASET
    if not layout.is_repo(repo) or not layout.is_revision(revision):
        raise UsageError(f"{repo} at {revision} is no name of a repository and a revision")
    wire = Wire(access, now)
    base = f"{access.endpoint}/api/{kind}s/{repo}"
    found, _ = _document(wire, f"{base}/revision/{quote(revision, safe='')}", repo, pace)
    commit = found.get("sha") if isinstance(found, dict) else None
    if not isinstance(found, dict) or not isinstance(commit, str) or not layout.is_commit(commit):
        raise NetworkError(f"{_host(access)} is no Hub: it names no commit of {repo}")
    stated = found.get("config")
    if data is None and isinstance(stated, dict):  # the Hub reads config.json, a mirror may not
        check_runs(stated, repo)
    entries = _tree(wire, f"{base}/tree/{commit}?recursive=true", repo, pace)
    files = tuple(
        sorted(_files(entries, _host(access), data or is_wanted), key=lambda file: file.path)
    )
    if data is not None and not files:
        raise InputError(f"{repo} has no file of this data set; its makers may have moved it")
    if data is None and not any(file.path.endswith(".safetensors") for file in files):
        raise UnsupportedModelError(f"{repo} holds no safetensors weights", Show.MODELS)
    return Listing(repo, revision, commit, files, _licence(found), kind)


def _tree(wire: Wire, url: str, repo: str, pace: Pace) -> Iterator[Mapping[str, Any]]:
    """The entries of all pages. A list that never comes to its end is a fault of the server's."""
    seen: set[str] = set()
    while url:
        if url in seen:
            raise NetworkError(f"the list of {repo}'s files names itself as its next page")
        if len(seen) == _MAX_PAGES:
            raise NetworkError(f"the list of {repo}'s files has more than {_MAX_PAGES:,} pages")
        seen.add(url)
        try:
            page, url = _document(wire, url, repo, pace)
        except GatedError:
            raise
        except AccessError as error:  # it was there a moment ago
            raise NetworkError(
                f"the commit of {repo} went away while its files were listed: a new one may have"
                " replaced it"
            ) from error
        if not isinstance(page, list):
            raise NetworkError(f"the list of {repo}'s files is not one")
        if url and not page:
            raise NetworkError(f"the list of {repo}'s files goes on behind an empty page")
        yield from (entry for entry in page if isinstance(entry, dict))


def _files(
    entries: Iterator[Mapping[str, Any]], host: str, wanted: Callable[[str], bool]
) -> Iterator[RemoteFile]:
    """The entries whose path is wanted. Raises NetworkError for one that cannot be true."""
    for entry in entries:
        path = entry.get("path")
        if entry.get("type") != "file" or not isinstance(path, str) or not wanted(path):
            continue
        lfs = entry.get("lfs")
        stored = lfs if isinstance(lfs, dict) else entry
        blob, size = str(stored.get("oid")), stored.get("size")
        if (
            not layout.is_blob(blob)
            or not isinstance(size, int)
            or size < 0
            or not layout.is_path(path)
        ):
            raise NetworkError(f"{host} lists a file that cannot be: {path!r}, {blob!r}, {size!r}")
        yield RemoteFile(path, blob, size)


def _licence(found: Mapping[str, Any]) -> str:
    """Return the licence that the model's page states; its own name where it says `other`."""
    data = found.get("cardData")
    if not isinstance(data, dict):
        return ""
    stated = data.get("license")
    if stated == "other":
        stated = data.get("license_name") or stated
    return stated if isinstance(stated, str) else ""


def _document(wire: Wire, url: str, repo: str, pace: Pace) -> tuple[object, str]:
    """JSON of the server's, and the address of its next page or ''."""
    for attempt in range(1, _TRIES + 1):
        try:
            head, body, following = wire.text(url)
            _refused(head, repo, has_token=bool(wire.access.token))
            return _json(head, body, urlsplit(url).netloc), following
        except Hitch as hitch:
            wait_s = hitch.wait_s
            if wait_s is None:
                wait_s = wire.access.retry_s * 2 ** (attempt - 2)
            if wait_s > _PATIENCE_S:
                asks = f"{hitch.reason}, and asks to be left alone for {wait_s:,.0f} s"
                raise NetworkError(asks) from hitch
            if attempt == _TRIES:
                raise NetworkError(hitch.reason) from hitch
            pace.pause(wait_s)
    raise AssertionError("unreachable")


def _json(head: Head, body: bytes, host: str) -> object:
    if head.status != 200:
        raise Hitch(f"{host} answers HTTP {head.status}", head.retry_after_s)
    try:
        return parse_json(body)
    except ValueError:
        what = "a web page" if head.html else "something else"
        raise Hitch(f"{host} sends {what} instead of JSON") from None


def _refused(head: Head, repo: str, *, has_token: bool) -> None:
    """Raise AccessError for an answer that another try does not change."""
    remedy = RunProgram(("hf", "auth", "whoami")) if has_token else None
    then = "which the token that was sent lacks" if has_token else "then give a token of yours"
    if head.error == "GatedRepo" or head.status == 403:
        raise GatedError(
            f"{repo} is gated: its page asks who you are before it gives the model (HTTP"
            f" {head.status}); ask for access there, {then}",
            remedy,
        )
    if head.status == 401 and has_token:
        raise GatedError(
            f"the token is refused, or it may not read {repo}, or there is no such repository"
            " (HTTP 401)",
            remedy,
        )
    if head.status == 401:
        raise GatedError(
            f"there is no repository {repo}, or it is private or gated (HTTP 401);"
            " a token that may read it would help"
        )
    if head.error == "RevisionNotFound":
        raise AccessError(f"{repo} has no such revision (HTTP {head.status})")
    if head.status in (404, 410, 451):
        raise AccessError(f"there is no repository {repo} (HTTP {head.status})")


def _host(access: HubAccess) -> str:
    return urlsplit(access.endpoint).netloc

"""Pulls under faults that follow from a seed: each ends right or in one honest line.

Law: what is raised is an error with an exit code of its own, never one of Python's; no message
holds the token; and once the fault is over, a pull completes with the bytes that are served.
`make fuzz` runs ten thousand with new seeds.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, QvqError
from qvq_mlx.settings import config
from qvq_mlx.store import hub
from qvq_mlx.store.download import HubAccess, PullDone
from qvq_mlx.store.layout import RepoFolder
from tests.conftest import World
from tests.support import seeds
from tests.support.hub import client
from tests.support.hub.server import REPO, Fault, Hub

Build = Callable[..., World]
CASES = seeds.numbers(seeds.wanted(12, 1450))
SECRET = "hf_Secret0123456789"

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**63, 10**30, "", "x", [], {}, [[]], {"a": []}, "0" * 40, "f" * 64),
    *(
        "../x.json",
        "/etc/passwd",
        "a\x00b.json",
        "a/../../b.json",
        "\x1b[2J.json",
        "ü.json",
        "a" * 300,
    ),
    *(["x"] * 3, {"": None}, "model-1.safetensors", "CON", ".", "..", "a//b.json", "\ud800.json"),
)
VALUES = (
    *(
        "",
        " ",
        "0",
        "-1",
        "1e3",
        "nan",
        "inf",
        "\xef\xbc\x99",
        "99999999999999999999999",
        "bytes",
        "x" * 5000,
    ),
    *("Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Foo 2015 07:28:00", "\xff\xfe", ";;;", "=", '"'),
)
LIMITS = (
    *('"resolvers";r=0;t=300', '"resolvers";r=;t=', '"x";r=-1;t=-5', '"api";r=0;t=99999999999999'),
    *("resolvers;r=0;t=301", '"a";t=200', '"a";r=0;t=1e9', '"a";r=0;t=nan', '"a";r=0;t=400;t=500'),
    *VALUES,
)
PLACES = (
    *("http://[::1", "http://", "http:///x", "//", "http://host:port/", "http://127.0.0.1:0/x"),
    *("ftp://host/", "file:///etc/passwd", "javascript:x", "http://127.0.0.1:99999/x", "?", "\\"),
    *(
        "http://a b/",
        "http://\u00e9\u2603/",
        "http://xn--/",
        "http://[fe80::1%25lo]:1/",
        "http://@/",
    ),
    *("http://user:pw@/", "http://127.0.0.1:1/", "http://" + "a" * 300 + "/", "HTTP://[", "http:"),
    *("http://.../", "http://%00/", "http://127.0.0.1\t:1/", "data:,x", "http://1.2.3.4.5.6:x"),
)
TOKENS = (
    *(
        "hf_\nx",
        "hf_é",
        "hf_\x00",
        "hf_ x",
        "\u202ehf_",
        "hf_\r\nX-Evil: 1",
        "Bearer hf_",
        "hf_\x7f",
    ),
    *("hf_\u2028", " ", "\n", "hf_" + "a" * 4090, "hf_\ud800", "'hf_'", "hf_\t", "\ufeffhf_x"),
)
LITTER = (
    *("._main", ".DS_Store", "._x.safetensors", ".localized", ".Spotlight-V100", "Thumbs.db"),
    *("desktop.ini", ".qvq-part", ".~lock", "._", "._refs", "x.incomplete", "Icon\r", "\udcff"),
)


class Trial:
    """One fault of one kind, in a cache and a server of its own."""

    def __init__(self, kind: str, number: int, served: Hub, folder: Path, build: Build) -> None:
        self.die = random.Random(f"{kind} {number}")
        self.served, self.folder, self.build = served, folder, build
        self.cache = folder / "hub"
        self.environ = {
            "HF_ENDPOINT": served.endpoint,
            "HF_HUB_CACHE": str(self.cache),
            "HF_HOME": str(folder / "hf"),
            "QVQ_HOME": str(folder / "q"),
        }
        sizes = (300, 2_000, 20_000, 5_000)
        names = ("config.json", "tokenizer.json", "model-1.safetensors", "model-2.safetensors")
        served.files = {
            name: self.die.randbytes(self.die.randint(1, size))
            for name, size in zip(names, sizes, strict=True)
        }
        self.heal()

    def heal(self) -> None:
        """Every fault is over."""
        (self.folder / "hf" / "token").unlink(missing_ok=True)
        served = self.served
        served.faults = lambda _request: Fault()
        served.listed = lambda _number: Fault()
        served.linked = {}
        served.token = ""
        served.extra_entries = []
        served.requests.clear()

    def now_and_then(self, make: Callable[[], Fault]) -> Callable[[object], Fault]:
        """The fault in some of the replies, in all of them in one trial of three."""
        share = self.die.choice((1.0, 0.5, 0.3))
        return lambda _asked: make() if self.die.random() < share else Fault()

    def access(self, env: Env) -> HubAccess:
        return replace(config.hub(env), retry_s=0.001, tries=3)

    def pull(self, env: Env) -> list[object]:
        access = self.access(env)
        found = hub.listing(REPO, "main", access, Hurried(), client.now)
        return list(hub.pull(RepoFolder(self.cache, REPO), found, access, client.now, hub.Disk()))

    def ends_honestly(self, env: Env) -> None:
        """Pull once, under the fault."""
        refused: QvqError | None = None
        try:
            self.pull(env)
        except QvqError as error:
            refused = error
        if refused is not None:
            assert refused.exit_code not in (ExitCode.INTERNAL, ExitCode.OK), repr(refused)
            assert SECRET not in str(refused)
            assert "\n" not in str(refused).strip()

    def completes(self) -> None:
        """Pull once more, when the fault is over."""
        self.heal()
        events = self.pull(self.build(environ=self.environ).env)
        assert isinstance(events[-1], PullDone)
        for name, data in self.served.files.items():
            assert (events[-1].folder / name).read_bytes() == data, name

    def run(self, *argv: str) -> None:
        """A command of the program says what it says, and never that it is a bug."""
        there = self.build(environ=self.environ)
        code = there.run(*argv)
        assert code != ExitCode.INTERNAL, f"{argv}: {there.err}"
        assert "this is a bug" not in there.err
        assert SECRET not in there.out + there.err


class Hurried:
    """A clock that is not waited for."""

    def clock(self) -> float:
        return 0.0

    def pause(self, seconds: float) -> None:
        assert 0 <= seconds < 1e9


def waits(trial: Trial) -> None:
    """`RateLimit` and `Retry-After`, in every form; no more than a list waits for them here."""

    def fault() -> Fault:
        headers = {
            "RateLimit": trial.die.choice(LIMITS),
            "RateLimit-Policy": trial.die.choice(LIMITS),
        }
        after = trial.die.choice((*VALUES, "", ""))
        return Fault(
            status=trial.die.choice((429, 503, 500, 403, 418, 599)),
            headers=headers,
            retry_after=after,
        )

    trial.served.listed = trial.now_and_then(fault)
    trial.ends_honestly(trial.build(environ=trial.environ).env)


def tokens(trial: Trial) -> None:
    """A token in a variable or a file, whole or with what no request can carry."""
    token = trial.die.choice(TOKENS)
    at = trial.die.randint(0, len(SECRET))
    token = trial.die.choice(
        (SECRET, SECRET[:at] + token + SECRET[at:], token + SECRET, SECRET + token)
    )
    environ = dict(trial.environ)
    if trial.die.random() < 0.5:
        environ[trial.die.choice(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))] = token
    else:
        saved = trial.folder / "hf" / "token"
        saved.parent.mkdir(exist_ok=True)
        saved.write_bytes(token.encode("utf-8", "surrogatepass"))
    trial.served.token = trial.die.choice(("", SECRET, "other"))
    trial.served.gated = trial.die.random() < 0.5
    trial.ends_honestly(trial.build(environ=environ).env)


def addresses(trial: Trial) -> None:
    """Redirects of lists and files, next pages, and endpoints that are no address."""
    place = trial.die.choice(PLACES)
    if trial.die.random() < 0.3:
        at = trial.die.randrange(len(place) + 1)
        place = place[:at] + chr(trial.die.randrange(1, 256)) + place[at:]
    held = "".join(one for one in place if one not in "\r\n" and ord(one) < 256)
    environ = dict(trial.environ)
    match trial.die.randrange(4):
        case 0:
            moved = Fault(
                status=trial.die.choice((301, 302, 303, 307, 308)), headers={"Location": held}
            )
            trial.served.listed = trial.now_and_then(lambda: moved)
        case 1:
            trial.served.linked = {"Location": held}
        case 2:
            body = json.dumps([]).encode()
            following = Fault(body=body, headers={"Link": f'<{held}>; rel="next"'})
            first = trial.served.api_requests + 1
            trial.served.listed = lambda number: following if number > first else Fault()
        case _:
            environ["HF_ENDPOINT"] = place.replace("\x00", "")
    trial.ends_honestly(trial.build(environ=environ).env)


def proxies(trial: Trial) -> None:
    """Proxies that are none, or that refuse. huggingface_hub's client reads the process's own."""
    from huggingface_hub import close_session

    place = trial.die.choice(
        (*PLACES, "socks5://127.0.0.1:1", "nonsense://x", "127.0.0.1:1", "::1")
    )
    name = trial.die.choice(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NO_PROXY", "")
        patched.setenv("no_proxy", "")
        with suppress(ValueError, UnicodeEncodeError):  # what no variable can hold
            patched.setenv(name, place)
        close_session()
        trial.ends_honestly(trial.build(environ=trial.environ).env)
    close_session()


def documents(trial: Trial) -> None:
    """A commit or a list of files that is nested, cut, no JSON, or says what cannot be."""
    die = trial.die
    entry: dict[str, Any] = {"type": "file", "path": "config.json", "oid": "0" * 40, "size": 2}
    commit: dict[str, Any] = {
        "sha": trial.served.commit,
        "cardData": {"license": "mit"},
        "gated": False,
    }

    def body() -> bytes:
        changed: Any = dict(die.choice((entry, commit)))
        for _ in range(die.randint(0, 2)):
            changed[die.choice([*changed, "lfs", "xetHash"])] = die.choice(ODD)
        if die.random() < 0.5:
            changed = [changed, {**entry, "path": die.choice(ODD)}]
        data = json.dumps(changed).encode()
        depth = die.choice((1, 50, 5_000))
        at = die.randrange(len(data))
        broken = (data[:at], data[:at] + b"\xff" + data[at:], data * 2, b"", b"NaN")
        deep = (b"[" * depth + data, b'{"sha":' * depth + data)
        odd = (b'{"sha": 1e999}', b"\xef\xbb\xbf" + data)
        return die.choice((data, data, *broken, *deep, *odd))

    def reply() -> Fault:
        kind = die.choice(("application/json", "text/html", "", "application/json; charset=utf-99"))
        return Fault(body=body(), headers={"Content-Type": kind})

    trial.served.listed = trial.now_and_then(reply)
    trial.ends_honestly(trial.build(environ=trial.environ).env)


def replies(trial: Trial) -> None:
    """Heads of a file's reply that contradict it, and bodies that end early or differ."""
    die = trial.die
    names = (
        "Content-Range",
        "ETag",
        "X-Linked-ETag",
        "X-Linked-Size",
        "X-Repo-Commit",
        "Content-Encoding",
        "Content-Type",
        "Content-Length",
    )

    def fault() -> Fault:
        cut = die.choice((None, None, -1, 0, die.randrange(3000)))
        headers = {
            die.choice(names): die.choice((*VALUES, "gzip", "br", "bytes 5-9/3", "bytes */x"))
        }
        kinds = (
            Fault(headers=headers, cut=cut),
            Fault(cut=cut, reset=die.random() < 0.5),
            Fault(announce=die.choice((-3, 7, 10**12))),
            Fault(status=die.choice((204, 304, 400, 404, 416, 451, 500)), retry_after="0"),
            Fault(flip=0, ignore_range=True),
            Fault(etag=die.choice(("x", "0" * 64))),
        )
        return die.choice(kinds)

    if die.random() < 0.3:
        trial.served.linked = {die.choice(names): die.choice(VALUES)}
    trial.served.faults = trial.now_and_then(fault)
    trial.ends_honestly(trial.build(environ=trial.environ).env)


def litter(trial: Trial) -> None:
    """What Finder, other tools and a crash leave in a cache, under the eyes of every command."""
    die = trial.die
    if die.random() < 0.7:
        trial.pull(trial.build(environ=trial.environ).env)
    for folder in (trial.cache, RepoFolder(trial.cache, REPO).root):
        folder.mkdir(parents=True, exist_ok=True)
    folders = [
        path
        for path in [trial.cache, *trial.cache.rglob("*")]
        if path.is_dir() and not path.is_symlink()
    ]
    notes = [
        path
        for path in trial.cache.rglob("*")
        if path.is_file() and path.suffix in (".json", "") and path.parent.name in ("refs", REPO)
    ]
    for _ in range(die.randint(1, 6)):
        place = die.choice(folders) / die.choice(LITTER)
        with suppress(FileExistsError, OSError):
            match die.randrange(4):
                case 0:
                    place.mkdir()
                case 1:
                    place.symlink_to(die.choice(("nowhere", ".", str(trial.folder), place.name)))
                case 2:
                    place.write_bytes(b"[" * 5_000)
                case _:
                    place.write_bytes(die.randbytes(die.choice((0, 82, 4096))))
    for note in notes:
        if die.random() < 0.2:
            note.write_bytes(die.choice((b"\0" * 40, b"[" * 9_000, b"", b"main\n", b"\xff" * 40)))
    commands = (
        *(
            ("list",),
            ("list", "--json"),
            ("verify", REPO),
            ("verify",),
            ("prune", "--dry-run"),
            ("show", REPO),
        ),
        *(
            ("prune", "-y"),
            ("export", REPO, str(trial.folder / "x.tar")),
            ("rm", REPO, "-y"),
            ("fit", REPO),
        ),
    )
    for command in die.sample(commands, 3):
        trial.run(*command)


KINDS = {
    made.__name__: made for made in (waits, tokens, addresses, proxies, documents, replies, litter)
}


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with Hub({}) as server:
        yield server


@pytest.mark.seeded
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_ends_right_or_in_one_honest_line(kind: str, served: Hub, world: Build) -> None:
    shared = Path("/dev/shm")
    for number in CASES:
        with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
            trial = Trial(kind, number, served, Path(folder), world)
            try:
                KINDS[kind](trial)
                trial.completes()
            except BaseException as error:
                error.add_note(f"{kind} {number}")
                raise

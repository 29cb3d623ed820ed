"""The commands as a user types them, against the loopback hub."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qvq_mlx.cli import pull as pulling
from qvq_mlx.core.errors import LicenceError
from qvq_mlx.run.pull import Wish
from qvq_mlx.run.world import open_world
from qvq_mlx.store import licences
from qvq_mlx.store.download import Advice
from tests.conftest import EXAMPLES, ROOT, Stream, World
from tests.house.test_imports import NETWORK, loaded_after
from tests.house.test_offline import watched
from tests.support.hub.server import REPO, Fault, Hub, blob_of, folder_files
from tests.support.spelling import hint_of
from tests.support.waiting import eventually

Make = Callable[..., World]
TINY = folder_files(ROOT / "models" / "qvq-tiny")
SIZE = sum(map(len, TINY.values()))


@pytest.fixture
def served() -> Iterator[Hub]:
    with Hub(dict(TINY)) as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub"


@pytest.fixture
def run(served: Hub, world: Make, tmp_path: Path, cache: Path) -> Callable[..., World]:
    """One command line; the world it ran in, with its exit code."""

    def command(*argv: str, code: int = 0, **arguments: object) -> World:
        environ = {
            "HF_ENDPOINT": served.endpoint,
            "HF_HUB_CACHE": str(cache),
            "QVQ_HOME": str(tmp_path / "q"),
            **arguments.pop("environ", {}),  # type: ignore[dict-item]
        }
        place = world(environ=environ, **arguments)
        assert place.run(*argv) == code, place.stderr.text()
        return place

    return command


def process(served: Hub, tmp_path: Path, *argv: str) -> subprocess.Popen[str]:
    environ = {
        **os.environ,
        "HF_ENDPOINT": served.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "QVQ_HOME": str(tmp_path / "q"),
        "NO_PROXY": "127.0.0.1,localhost",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "qvq_mlx", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=ROOT,
    )


def damage(cache: Path, name: str) -> Path:
    (path,) = cache.glob(f"models--*/snapshots/*/{name}")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.resolve().write_bytes(data)
    return path


def test_pull_prints_what_it_will_do_and_where_it_is(
    run: Callable[..., World], cache: Path
) -> None:
    place = run("pull", REPO)
    folder = Path(place.out.strip())
    assert {path.name for path in folder.iterdir()} == set(TINY)
    lines = place.err.splitlines()
    assert lines[0] == f"{REPO}: 6.4 MiB in {len(TINY)} files"
    assert lines[1].endswith("free on the disk · licence mit")
    assert lines[2] == "fit not known: 6.4 MiB needed; this machine's memory is not known"
    assert min(lines[3:]).startswith("fetched README.md · ")
    assert len(lines) == 3 + len(TINY)
    assert run("pull", REPO).err.splitlines()[0].endswith("all of it is here")


def test_a_dry_run_fetches_nothing(run: Callable[..., World], served: Hub, cache: Path) -> None:
    document = json.loads(run("pull", REPO, "--dry-run", "--json").out)
    assert document["size_bytes"] == document["fetch_bytes"] == SIZE
    assert document["snapshot"] is None
    assert {file["path"] for file in document["files"]} == set(TINY)
    assert served.served == 0
    assert not cache.exists()
    run("pull", REPO)
    document = json.loads(run("pull", REPO, "--json").out)
    assert document["fetch_bytes"] == 0
    assert Path(document["snapshot"]).is_dir()


@pytest.mark.parametrize("said", ["by the page", "by the file", "by the file that is here"])
def test_another_architecture_is_refused_before_its_weights_come(
    run: Callable[..., World], served: Hub, cache: Path, said: str
) -> None:
    """A mirror's page may not tell it, and then config.json does: it comes first."""
    config = {"model_type": "glm4v_moe", "architectures": ["Glm4vMoeForConditionalGeneration"]}
    served.files["config.json"] = json.dumps(config).encode()
    served.files["model.safetensors"] = bytes(4 << 20)
    if said == "by the page":
        served.config = config
    else:
        served.faults = lambda request: Fault(
            cut=1 << 16 if ".safetensors" in request.path else None
        )
    for _ in range(2 if said == "by the file that is here" else 1):
        served.requests.clear()
        lines = run("pull", REPO, code=4).err.splitlines()
    refused = f"error[model-unsupported]: {REPO} is of the architecture 'glm4v_moe', which this"
    assert lines[-2].startswith(refused)
    assert lines[-2].endswith("the nearest that it runs is qwen3-vl-30b-thinking")
    assert lines[-1] == "  try: qvq pull qwen3-vl-30b-thinking"
    asked = {request.path for request in served.requests}
    assert not asked if said != "by the file" else "config.json" in asked
    assert not list(cache.glob("models--*/snapshots/*"))


def test_verify_names_the_file_and_its_command_repairs_it(
    run: Callable[..., World], served: Hub, cache: Path
) -> None:
    run("pull", REPO)
    assert run("verify").out == f"{REPO}: {len(TINY)} files whole · 6.4 MiB read\n"
    path = damage(cache, "model.safetensors")
    place = run("verify", REPO, code=4)
    assert "  model.safetensors is damaged: 6,608,064 bytes" in place.out
    command = place.err.splitlines()[-1].removeprefix("  try: qvq ")
    served.requests.clear()
    run(*command.split())
    assert {request.path for request in served.requests} == {"model.safetensors"}
    assert path.read_bytes() == TINY["model.safetensors"]
    run("verify", REPO)
    served.requests.clear()
    run(*command.split())  # nothing to repair: nothing is fetched
    assert not served.requests


def published(broken: str) -> dict[str, bytes]:
    """A repository whose own files contradict each other."""
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    if broken == "lacks a shard":
        return {**TINY, "model.safetensors.index.json": json.dumps(index).encode()}
    return {**TINY, "model.safetensors": TINY["model.safetensors"][:-9]}


@pytest.mark.parametrize("broken", ["lacks a shard", "is cut"])
def test_what_was_published_broken_is_said_to_be_and_not_pulled_again(
    run: Callable[..., World], served: Hub, broken: str
) -> None:
    served.files = published(broken)
    run("pull", REPO)
    asked = run("ask", "-m", REPO, str(EXAMPLES / "sum.png"), "How many?", code=4)
    assert "qvq pull" not in asked.err
    place = run("verify", REPO, code=4)
    assert "as its makers published it: pulling it again changes nothing" in place.out
    assert "qvq pull" not in place.out + place.err
    assert place.err.endswith(f"  try: qvq rm {REPO} -y\n")


def test_what_is_of_no_use_here_needs_no_repair(run: Callable[..., World], cache: Path) -> None:
    snapshot = cache / "models--org--other" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "adapter_config.json").symlink_to("../../blobs/" + blob_of("a.json", b"{}"))
    (cache / "models--org--other" / "blobs").mkdir()
    (cache / "models--org--other" / "blobs" / blob_of("a.json", b"{}")).write_bytes(b"{}")
    assert "is a LoRA adapter" in run("verify", "org/other").out


@pytest.mark.parametrize("coded", [True, False])
def test_a_commit_that_goes_away_meanwhile_is_one_to_pull_again(
    run: Callable[..., World], served: Hub, coded: bool
) -> None:
    def gone(_request: object) -> Fault:
        served.files["README.md"] = b"a new commit"
        code = {"X-Error-Code": "RevisionNotFound"} if coded else {}
        return Fault(status=404, headers=code)

    served.faults = gone
    err = run("pull", REPO, code=75).err
    assert "went away" in err
    assert err.endswith(f"  try: qvq pull {REPO}\n")
    served.faults = lambda _request: Fault(status=404)
    assert "has no such file (HTTP 404)" in run("pull", REPO, code=4).err
    served.faults = lambda _request: Fault()
    run("pull", REPO)


def test_repair_means_the_revision_that_is_here(
    run: Callable[..., World], served: Hub, cache: Path
) -> None:
    run("pull", REPO)
    (commit,) = (path.name for path in cache.glob("models--*/snapshots/*"))
    damage(cache, "config.json")
    run("pull", REPO, "--repair", "config.json")
    assert (cache / "models--org--model/refs/main").read_text() == commit
    assert run("pull", REPO, "--repair", "nothing.json", code=2).err.startswith("error[usage]")


def test_rm_asks_a_person_and_needs_a_yes_from_a_script(
    run: Callable[..., World], cache: Path
) -> None:
    assert run("rm", REPO, code=4).err.endswith(f"try: qvq pull {REPO}\n")
    run("pull", REPO)
    place = run("rm", REPO, code=2)
    assert place.err.endswith(f"  try: qvq rm {REPO} -y\n")
    assert cache.exists()
    out = run("rm", REPO, "-y").out
    freed = int(out.splitlines()[-1].split()[1].replace(",", ""))
    assert freed >= SIZE
    assert not list(cache.glob("models--*"))


def test_prune_says_first_and_then_does(
    run: Callable[..., World], served: Hub, cache: Path
) -> None:
    assert run("prune").out == "nothing to prune\n"
    run("pull", REPO)
    served.files["README.md"] = b"new"
    run("pull", REPO)
    said = run("prune", "--dry-run").out
    assert "old revision" in said
    assert len(list(cache.glob("models--*/snapshots/*"))) == 2
    assert run("prune", "-y").out.startswith(said)
    assert len(list(cache.glob("models--*/snapshots/*"))) == 1
    run("verify")


def test_every_command_takes_the_name_of_a_revision_that_list_prints(
    run: Callable[..., World], served: Hub, cache: Path, tmp_path: Path
) -> None:
    picture = str(EXAMPLES / "sum.png")
    old = Path(run("pull", REPO, "--revision", served.commit).out.strip()).name
    # the only snapshot, though nothing refers to it
    assert [entry["name"] for entry in _listed(run)] == [REPO]
    run("ask", "-m", REPO, picture, "How many?", code=0)
    run("export", REPO, str(tmp_path / "only.tar"))
    served.files["README.md"] = b"new"
    run("pull", REPO)
    named, name = (entry["name"] for entry in _listed(run))
    assert named == REPO
    assert name == f"{REPO}@{old[:8]}"
    assert [entry["revision"] for entry in _listed(run)][1] == old
    for words in (("ask", "-m", name, picture, "How many?"), ("fit", name), ("show", name)):
        run(*words)
    run("export", name, str(tmp_path / "old.tar"))
    assert run("verify", name).out == f"{REPO}: {len(TINY)} files whole · 6.4 MiB read\n"
    missing = run("ask", "-m", f"{REPO}@v9", picture, "How many?", code=4)
    assert missing.err.endswith(f"  try: qvq pull {REPO}@v9\n")
    assert "names its revision" in run("rm", name, "--revision", "v2", "-y", code=2).err
    run("rm", name, "-y")
    assert [entry["name"] for entry in _listed(run)] == [REPO]
    (cache / f"models--{REPO.replace('/', '--')}" / "refs" / "main").unlink()
    run("pull", f"{REPO}@{served.commit}")
    run("verify", f"{REPO}@{served.commit[:10]}")


def _listed(run: Callable[..., World]) -> list[dict[str, object]]:
    listed = json.loads(run("list", "--json").out)["models"]
    return [entry for entry in listed if entry["repo"] == REPO]


def test_export_and_import(run: Callable[..., World], cache: Path, tmp_path: Path) -> None:
    run("pull", REPO)
    file = str(tmp_path / "m.tar")
    assert run("export", REPO, file).out.endswith(f"  try: qvq import {file}\n")
    assert run("export", REPO, file, code=2).err.endswith(f"  try: rm {file}\n")
    run("rm", REPO, "-y")
    assert "every hash is right" in run("import", file).out
    run("verify", REPO)
    assert run("import", str(EXAMPLES / "sum.png"), code=6).err.startswith("error[archive]")
    assert run("import", "none.tar", code=6).err.startswith("error[archive]: there is no file")


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"token": "t"}, 4, "private or gated (HTTP 401)"),
        ({"token": "t", "gated": True}, 4, "is gated: its page asks who you are"),
        ({"token": "t", "gated": True, "listed_to_all": True}, 4, "is gated or private"),
        ({"files": {"config.json": b"{}"}}, 4, "holds no safetensors weights"),
        ({"extra_entries": [{"type": "file", "path": "../x.json"}]}, 75, "cannot be"),
    ],
)
def test_what_a_hub_may_say(
    run: Callable[..., World], served: Hub, change: dict[str, object], code: int, words: str
) -> None:
    for name, value in change.items():
        setattr(served, name, value)
    if "extra_entries" in change:
        served.extra_entries[0]["path"] = "a\x1b[2Jb.json"
    err = run("pull", REPO, code=code).err
    assert words in err
    assert "\x1b" not in err
    assert err.count("error[") == 1
    if "token" in change:
        assert err.endswith(f"  try: HF_TOKEN=YOUR_TOKEN qvq pull {REPO}\n")
        run("pull", REPO, environ={"HF_TOKEN": "t"})


def test_names_that_cannot_be_pulled(run: Callable[..., World], served: Hub) -> None:
    assert "comes with qvq" in run("pull", "tiny", code=4).err
    assert "no repository org/other" in run("pull", "org/other", code=4).err
    assert "no such revision" in run("pull", REPO, "--revision", "v9", code=4).err
    assert "HF_ENDPOINT" in run("pull", REPO, code=2, environ={"HF_ENDPOINT": "ftp://x"}).err
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert run("pull", REPO, code=75, environ=gone).err.endswith(f"  try: qvq pull {REPO}\n")


class TestLicence:
    DUTIES = Advice("Strict", "fits: yes", ("no weapons",))

    def pull(self, place: World, *, yes: bool = False) -> None:
        pulling.run(Wish(REPO, yes=yes), open_world(place.env), lambda _card, _plan: self.DUTIES)

    def place(self, world: Make, served: Hub, cache: Path, **how: object) -> World:
        environ = {"HF_ENDPOINT": served.endpoint, "HF_HUB_CACHE": str(cache)}
        return world(environ=environ, **how)

    def test_a_script_must_say_yes_once(
        self, world: Make, served: Hub, cache: Path, tmp_path: Path
    ) -> None:
        place = self.place(world, served, cache, err_tty=True, stdin=b"y\n")
        with pytest.raises(LicenceError, match="Strict") as caught:
            self.pull(place)
        assert hint_of(caught.value) == f"qvq pull {REPO} -y"
        assert caught.value.exit_code == 4
        assert "Strict: no weapons" in place.err
        assert served.served == 0
        self.pull(place, yes=True)
        self.pull(self.place(world, served, cache))
        assert licences.accepted(tmp_path / "qvq" / "licences.json", REPO, "Strict")
        assert not licences.accepted(tmp_path / "qvq" / "licences.json", REPO, "Other")

    @pytest.mark.parametrize("said", ["n\n", "\n", "", "why\n"])
    def test_a_person_may_say_no(self, world: Make, served: Hub, cache: Path, said: str) -> None:
        with pytest.raises(LicenceError):
            self.pull(self.person(world, served, cache, said))
        assert served.served == 0

    def test_a_person_may_say_yes(self, world: Make, served: Hub, cache: Path) -> None:
        self.pull(self.person(world, served, cache, "y\n"))
        assert served.served == SIZE
        self.pull(self.person(world, served, cache, ""))

    def person(self, world: Make, served: Hub, cache: Path, said: str) -> World:
        place = self.place(world, served, cache, tty=True, err_tty=True)
        stdin = Stream(said.encode(), tty=True)
        return World(replace(place.env, stdin=stdin), place.stdout, place.stderr)


def test_kill_and_pull_again_with_the_program_itself(served: Hub, tmp_path: Path) -> None:
    served.pause_s = 0.002
    first = process(served, tmp_path, "pull", REPO)
    eventually(lambda: served.served >= SIZE // 2)
    first.kill()
    first.communicate()
    assert SIZE // 2 <= served.served < SIZE
    second = process(served, tmp_path, "pull", REPO)
    out, err = second.communicate()
    assert second.returncode == 0, err
    assert "to fetch" in err
    assert {path.name for path in Path(out.strip()).iterdir()} == set(TINY)
    assert served.served <= SIZE + len(TINY) * (64 << 10)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_says_what_is_kept(
    served: Hub, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    served.pause_s = 0.002
    running = process(served, tmp_path, "pull", REPO)
    eventually(lambda: served.served >= SIZE // 4)
    running.send_signal(number)
    _, err = running.communicate()
    assert running.returncode == code
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert "error[interrupted]: stopped; what came is kept" in err
        assert err.endswith(f"  try: qvq pull {REPO}\n")


def test_asking_a_downloaded_model_makes_no_connection(
    run: Callable[..., World], cache: Path, tmp_path: Path
) -> None:
    run("pull", REPO)
    done = watched(
        tmp_path,
        *("ask", "-m", REPO, str(EXAMPLES / "sum.png"), "What is the result?"),
        HF_HUB_CACHE=str(cache),
        HF_ENDPOINT="http://127.0.0.1:9",
    )
    answer, _, rest = done.stdout.partition("@@")
    assert answer.endswith("\\boxed{29}\n")
    assert rest.strip() == "0 [] []"


def as_a_terminal_gets_it(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\r\n")


def test_bars_on_a_terminal_and_a_line_beside_a_pipe(
    run: Callable[..., World], served: Hub
) -> None:
    import pyte

    served.pause_s = 0.002
    for width in (120, 80, 40):
        place = run("pull", REPO, tty=True, err_tty=True, size=(width, 24))
        assert "\x1b[?25h" in place.out
        screen, seen = pyte.Screen(width, 24), set()
        stream = pyte.Stream(screen)
        for frame in as_a_terminal_gets_it(place.out).split("\x1b[?2026h"):
            stream.feed(frame)
            seen |= {row.rstrip() for row in screen.display}
        assert any(row.startswith("model.safetensors") and row.endswith("%") for row in seen) == (
            width < 100
        )
        assert any("░" in row for row in seen) == (width >= 80)
        assert any("░" in row and "/6.3 MiB" in row for row in seen) == (width >= 120)
        bars = [row for row in seen if "%" in row]
        assert max(map(len, bars)) <= max(30, 3 * width // 4)
        assert any("/6.4 MiB · " in row for row in seen)
        kept = [row.rstrip() for row in screen.display if row.strip()]
        assert f"{REPO} is here · 6.4 MiB fetched" in kept
        assert not any("░" in row for row in kept)
        run("rm", REPO, "-y")
    place = run("pull", REPO, err_tty=True)
    assert place.out.count("\n") == 1
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(as_a_terminal_gets_it(place.err))
    assert [row.rstrip() for row in screen.display if row.strip()] == [
        f"{REPO}: 6.4 MiB in {len(TINY)} files",
        screen.display[1].rstrip(),
        "fit not known: 6.4 MiB needed; this machine's memory is not known",
    ]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("argv", ["pull --help", "verify", "prune", "rm a/b -y", "import no.tar"])
def test_only_pull_itself_loads_network_code(argv: str, tmp_path: Path) -> None:
    modules = loaded_after(
        f"import os\nos.environ['HF_HOME'] = {str(tmp_path)!r}\n"
        "from qvq_mlx.cli.main import main\nfrom qvq_mlx.cli.world import real_env\n"
        f"main({argv.split()!r}, real_env())"
    )
    assert not {"httpx2", *NETWORK} & modules


def test_json_has_stdout_for_itself_on_a_terminal_too(run: Callable[..., World]) -> None:
    place = run("pull", REPO, "--json", tty=True, err_tty=True)
    assert json.loads(place.out)["fetch_bytes"] == SIZE


def test_a_hint_repeats_the_whole_wish(run: Callable[..., World], served: Hub) -> None:
    run("pull", REPO)
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    words = ("pull", REPO, "--repair", "config.json", "--repair", "vocab.json")
    assert run(*words, code=75, environ=gone).err.endswith(f"  try: qvq {' '.join(words)}\n")

"""Agents look at pictures: the tools as the SDK's own client sees them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import anyio
import mcp_types as types
import pytest
from mcp import Client
from PIL import Image

from qvq_mlx import history
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, OutsideRootsError
from qvq_mlx.core.events import StopReason
from qvq_mlx.core.request import Limits, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.mcp.roots import Roots
from qvq_mlx.serve.mcp.server import Shared, server_for
from qvq_mlx.settings import config
from tests.conftest import EXAMPLES, ROOT, ScriptedEngine, Stream, World
from tests.support.pdfs import BLUE, RED, pdf
from tests.support.waiting import CEILING_S

Build = Callable[..., World]
Roots_ = Callable[..., Awaitable[types.ListRootsResult]]
SHAPES = str(EXAMPLES / "shapes.png")
WORDS = ("I look.\n\n", "**Final Answer**\n\n", "two", " red", " circles")
BOTH = pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
"""The handshake of 2025 over JSON-RPC, and the protocol of 2026."""


def sharing(*folders: Path) -> Roots_:
    async def roots(*_: object) -> types.ListRootsResult:
        return types.ListRootsResult(
            roots=[types.Root(uri=folder.as_uri()) for folder in folders]  # type: ignore[arg-type]
        )

    return roots


@contextmanager
def engine_of(world: World) -> Iterator[EngineThread]:
    engine = EngineThread(world.env, config.read(world.env))
    try:
        yield engine
    finally:
        engine.close()


FROM_EXAMPLES = sharing(EXAMPLES)
NOTHING = Shared()
UNBOUND = Limits()


def session(
    world: World,
    talk: Callable[[Client], Awaitable[None]],
    mode: str = "legacy",
    roots: Roots_ | None = FROM_EXAMPLES,
    shared: Shared = NOTHING,
    limits: Limits = UNBOUND,
    model: str = "tiny",
) -> None:
    """Run `talk` with a client of a server in this process."""

    async def main() -> None:
        base = Request("", (), model, limits=limits)
        server = server_for(engine, base, world.env, config.read(world.env), shared)
        async with Client(server, mode=mode, list_roots_callback=roots) as client:
            await talk(client)

    with engine_of(world) as engine:
        anyio.run(main)


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


@BOTH
def test_look_answers_and_reports_progress_that_only_grows(world: Build, mode: str) -> None:
    seen: list[tuple[float, float | None]] = []

    async def progress(done: float, total: float | None, _line: str | None) -> None:
        seen.append((done, total))

    async def talk(client: Client) -> None:
        listed = await client.list_tools()
        names = [tool.name for tool in listed.tools]
        assert names == ["look", "locate", "read_pages", "zoom"]
        asked = {"images": [SHAPES], "question": "How many?"}
        plain = await client.call_tool("look", asked, progress_callback=progress)
        told = await client.call_tool("look", {**asked, "thinking": True})
        assert plain.structured_content["answer"] == "two red circles"
        assert plain.structured_content["thinking"] is None
        assert told.structured_content["thinking"] == "I look."
        assert json.loads(text_of(plain)) == plain.structured_content
        [image] = plain.structured_content["images"]
        assert (image["source_width_px"], image["source_height_px"]) == (640, 640)

    one = world(WORDS)
    session(one, talk, mode)
    assert seen == sorted(set(seen))
    assert {total for _, total in seen} == {1.0}
    assert len(history.files(config.read(one.env).history_folder)) == 2


def test_locate_gives_boxes_in_the_pictures_own_pixels(world: Build) -> None:
    answer = '[{"bbox_2d": [250, 500, 500, 1000], "label": "circle"}]'

    async def talk(client: Client) -> None:
        found = await client.call_tool("locate", {"image": SHAPES, "what": "red circle"})
        assert found.structured_content["boxes"] == [
            {"label": "circle", "x1": 160, "y1": 320, "x2": 320, "y2": 640}
        ]
        assert found.structured_content["width_px"] == 640

    engine = ScriptedEngine(["**Final Answer**\n\n", answer])
    session(world(engine=engine), talk)
    [(question, count, _)] = engine.asked
    assert "red circle" in question
    assert count == 1


def test_pages_of_a_document_are_read_one_by_one(world: Build, tmp_path: Path) -> None:
    document = tmp_path / "three.pdf"
    document.write_bytes(pdf(RED, BLUE, RED))

    async def talk(client: Client) -> None:
        read = await client.call_tool("read_pages", {"document": str(document), "pages": "2-"})
        assert read.structured_content["count"] == 3
        pages = read.structured_content["pages"]
        assert [(page["page"], page["answer"]) for page in pages] == [
            (2, "two red circles"),
            (3, "two red circles"),
        ]
        beyond = await client.call_tool("read_pages", {"document": str(document), "pages": "4"})
        assert beyond.is_error
        assert "holds 3 pages" in text_of(beyond)

    engine = ScriptedEngine(WORDS)
    session(world(engine=engine), talk, roots=sharing(tmp_path))
    assert [count for _, count, _ in engine.asked] == [1, 1]


def test_zoom_returns_the_part_pixel_by_pixel_or_asks_about_it(world: Build) -> None:
    box = {"x1": 100, "y1": 50, "x2": 400, "y2": 250}

    async def talk(client: Client) -> None:
        cut = await client.call_tool("zoom", {"image": SHAPES, "box": box})
        [image] = [part for part in cut.content if isinstance(part, types.ImageContent)]
        with Image.open(SHAPES) as whole, Image.open(BytesIO(base64.b64decode(image.data))) as part:
            assert part.tobytes() == whole.convert("RGB").crop((100, 50, 400, 250)).tobytes()
        assert cut.structured_content["look"] is None
        asked = await client.call_tool("zoom", {"image": SHAPES, "box": box, "question": "What?"})
        assert asked.structured_content["look"]["answer"] == "two red circles"
        quoted = await client.call_tool("zoom", {"image": SHAPES, "box": json.dumps(box)})
        assert quoted.structured_content == cut.structured_content
        outside = await client.call_tool("zoom", {"image": SHAPES, "box": {**box, "x2": 641}})
        assert outside.is_error
        assert "640×640" in text_of(outside)

    engine = ScriptedEngine(WORDS)
    session(world(engine=engine), talk)
    assert len(engine.asked) == 1  # a part that is returned needs no model


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("look", {"images": [SHAPES]}, "question"),
        ("look", {"images": [], "question": "x"}, "images"),
        ("look", {"images": [SHAPES], "question": "x", "colour": "red"}, "colour"),
        ("zoom", {"image": SHAPES, "box": {"x1": 5, "y1": 0, "x2": 5, "y2": 9}}, "x1 < x2"),
        ("read_pages", {"document": SHAPES, "pages": "two"}, "page is 'two'"),
        ("look", {"images": [str(EXAMPLES / "none.png")], "question": "x"}, "no such file"),
        ("look", {"images": ["data:image/png;base64,AAAA"], "question": "x"}, "is no picture"),
        ("paint", {}, "look, locate, read_pages, zoom"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    world: Build, tool: str, arguments: dict[str, object], said: str
) -> None:
    async def talk(client: Client) -> None:
        # the session's call: the client's own refuses to name a tool that it was not told of
        result = await client.session.call_tool(tool, arguments)
        assert result.is_error
        assert said in text_of(result)
        assert text_of(result).startswith("error[")
        assert "The user can run" not in text_of(result)

    session(world(WORDS), talk)


def test_a_model_that_is_not_here_is_an_error_with_the_command_for_the_user(world: Build) -> None:
    async def talk(client: Client) -> None:
        result = await client.call_tool("look", {"images": [SHAPES], "question": "How many?"})
        assert result.is_error
        assert "The user can run: qvq pull mlx-community/QVQ-72B" in text_of(result)

    session(world(WORDS), talk, model="qvq-72b-preview")


def test_no_whole_answer_is_an_error_with_what_there_is(world: Build) -> None:
    async def talk(client: Client) -> None:
        cut = await client.call_tool("look", {"images": [SHAPES], "question": "How many?"})
        assert cut.is_error
        assert cut.structured_content["answer"] is None
        assert cut.structured_content["partial_answer"] == "two"
        assert text_of(cut).startswith("error[no-answer]: no final answer within 3 tokens")

    session(world(WORDS), talk, limits=Limits(max_tokens=3))


@BOTH
def test_a_call_that_is_cancelled_stops_before_the_next_token(world: Build, mode: str) -> None:
    """The engine is held at its second token until it was told to stop: no third one comes."""
    reached, tokens = threading.Event(), []
    stopped = threading.Event()

    def on_token(index: int, control: Control) -> None:
        tokens.append(index)
        if len(tokens) == 2:
            reached.set()
            while not control.stopping:
                assert not stopped.wait(0.001), "the test has ended"

    async def talk(client: Client) -> None:
        asked = {"images": [SHAPES], "question": "How many?"}
        async with anyio.create_task_group() as group:
            group.start_soon(client.call_tool, "look", asked)
            await anyio.to_thread.run_sync(reached.wait, CEILING_S)
            group.cancel_scope.cancel()
        after = await client.call_tool("look", asked)
        assert after.structured_content["answer"] == "two red circles"

    one = world(engine=ScriptedEngine(WORDS, on_token=on_token))
    try:
        session(one, talk, mode)
    finally:
        stopped.set()
    assert tokens[:3] == [0, 1, 0]
    runs = history.files(config.read(one.env).history_folder)
    assert len(runs) == 2


def outside(inside: Path, beyond: Path) -> list[str]:
    """A hundred ways to name what lies beyond the roots."""
    secret = beyond / "secret.png"
    links = []
    for number in range(20):
        link = inside / f"link-{number}"
        link.symlink_to(secret if number % 2 else beyond)
        links.append(str(link if number % 2 else link / "secret.png"))
    (inside / "chain").symlink_to(inside / "link-1")
    (inside / "relative").symlink_to(Path("..") / beyond.name / "secret.png")
    up = [
        f"{inside}/{'deep/' * depth}{'../' * (depth + 1)}{beyond.name}/secret.png"
        for depth in range(20)
    ]
    system = [
        f"{before}{name}"
        for name in ("/etc/passwd", "/etc/hosts", "/proc/self/environ", "/dev/stdin", "/", "/root")
        for before in ("", "file://", "file:", "//", "/./", f"{inside}/../../../../../../../../..")
    ]
    near = [f"{inside}-more/secret.png", f"{inside}x", str(inside.parent), f"{inside}/..", "~"]
    words = ["-", "clip", "screen", "https://example.org/a.png", "http://localhost/a.png"]
    odd = [f"../{beyond.name}/secret.png", "~/.ssh/id_rsa", "~root/.bashrc", f"{secret}\0.png"]
    encoded = [f"file://{beyond}/%73ecret.png", f"file://{inside}/%2e%2e/{beyond.name}/secret.png"]
    more = [str(inside / "chain"), str(inside / "relative"), str(beyond / "*.png"), str(secret)]
    found = [*links, *up, *system, *near, *words, *odd, *encoded, *more]
    return [*found, *(f"{beyond}/{number}.png" for number in range(100 - len(found)))]


def test_a_hundred_paths_outside_of_the_roots_are_refused(tmp_path: Path) -> None:
    inside, beyond = tmp_path / "inside", tmp_path / "beyond"
    deep = inside.joinpath(*["deep"] * 20)
    deep.mkdir(parents=True)
    beyond.mkdir()
    (tmp_path / "inside-more").mkdir()
    for place in (beyond / "secret.png", tmp_path / "inside-more" / "secret.png"):
        place.write_bytes(b"secret")
    roots, names = Roots.of([inside]), outside(inside, beyond)
    assert len(names) == 100
    for name in names:
        with pytest.raises(OutsideRootsError):
            roots.source(name)
    with pytest.raises(OutsideRootsError, match="no folder is shared"):
        Roots(()).source(SHAPES)


def test_what_lies_inside_of_the_roots_is_read_however_it_is_named(tmp_path: Path) -> None:
    place = tmp_path / "a folder" / "*?.png"
    place.parent.mkdir()
    place.write_bytes(Path(SHAPES).read_bytes())
    (tmp_path / "link").symlink_to(place.parent)
    roots = Roots.of([tmp_path / "link"])  # a root may be a link itself
    data = "data:image/png;base64,AAAA"
    assert roots.source(data) == data
    for name in (
        str(place),
        place.as_uri(),
        "*?.png",
        f"{place.parent}/../{place.parent.name}/*?.png",
    ):
        assert roots.source(name) == str(place)


@BOTH
def test_the_clients_roots_bound_what_is_read_and_named_folders_add_to_them(
    world: Build, tmp_path: Path, mode: str
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    own = work / "own.png"
    own.write_bytes(Path(SHAPES).read_bytes())

    async def allowed(client: Client, path: str) -> bool:
        result = await client.call_tool("look", {"images": [path], "question": "How many?"})
        return not result.is_error

    async def only_roots(client: Client) -> None:
        assert await allowed(client, SHAPES)
        assert not await allowed(client, str(own))

    async def both(client: Client) -> None:
        assert await allowed(client, SHAPES)
        assert await allowed(client, str(own))

    async def only_named(client: Client) -> None:
        assert not await allowed(client, SHAPES)
        assert await allowed(client, str(own))

    async def nothing(client: Client) -> None:
        assert not await allowed(client, str(own))

    session(world(WORDS), only_roots, mode)
    session(world(WORDS), both, mode, shared=Shared((work,)))
    session(world(WORDS), only_named, mode, roots=None, shared=Shared((work,)))
    # a client without roots shares the folder it works in, and never a whole home folder
    session(
        world(WORDS),
        only_named,
        mode,
        roots=None,
        shared=Shared(started_in=own.parent / "x" / ".."),
    )
    for whole in (Path("/"), tmp_path):  # the world's home
        session(world(WORDS), nothing, mode, roots=None, shared=Shared(started_in=whole))
    # roots that are empty share nothing
    session(world(WORDS), nothing, mode, roots=sharing(), shared=Shared(started_in=work))


def test_a_person_who_types_it_is_told_who_starts_it(world: Build) -> None:
    one = world(WORDS)
    one.env.stdin._tty = True  # type: ignore[attr-defined]
    assert isinstance(one.env.stdin, Stream)
    assert one.run("mcp", "-m", "tiny") == ExitCode.USAGE
    assert "claude mcp add" in one.err


@pytest.mark.parametrize("saved", [True, False])
def test_over_stdio_stdout_holds_the_protocol_and_the_model_answers(
    tmp_path: Path, saved: bool
) -> None:
    """A real process and the embedded model; the client closes stdin, and the process ends.

    With `--no-save` the disk has what a pass cost, and nothing of the question or the picture.
    """
    environ = {**os.environ, "QVQ_HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-m", "qvq_mlx", "mcp", "-m", "tiny"]
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "t", "version": "1"},
    }
    asked = {"images": [SHAPES], "question": "How many red circles are there?"}
    requests = [
        {"id": 0, "method": "initialize", "params": hello},
        {"method": "notifications/initialized"},
        {"id": 1, "method": "tools/call", "params": {"name": "look", "arguments": asked}},
    ]
    with subprocess.Popen(
        [*program, *([] if saved else ["--no-save"]), str(EXAMPLES)],
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        for request in requests:
            server.stdin.write(json.dumps({"jsonrpc": "2.0", **request}) + "\n")
        server.stdin.flush()
        first, second = (json.loads(server.stdout.readline()) for _ in range(2))
        server.stdin.close()
        assert server.stdout.read() == ""
        assert server.stderr.read() == ""
        assert server.wait(CEILING_S) == 0
    assert first["result"]["serverInfo"]["name"] == "qvq"
    assert second["result"]["structuredContent"]["boxed"] == "3"
    assert second["result"]["structuredContent"]["stop_reason"] == StopReason.END
    files = (path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    kept = {"/".join(path.parts[:-1]) for path in files}
    assert kept == {"cache/costs"} | (
        {"history", "cache/prefixes", "cache/rates"} if saved else set()
    )


@pytest.mark.parametrize(("given", "kept_s"), [((), 600.0), (("--keep", "90s"), 90.0)])
def test_an_idle_model_is_kept_as_long_as_it_is_told(
    world: Build, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], kept_s: float
) -> None:
    kept: list[float | None] = []

    def noted(_env: Env, _settings: config.Settings, keep_s: float | None) -> EngineThread:
        kept.append(keep_s)
        raise OutsideRootsError("and no more than that")

    monkeypatch.setattr("qvq_mlx.serve.mcp.stdio.EngineThread", noted)
    there = world(["four"])
    assert there.run("mcp", "-m", "tiny", *given) == OutsideRootsError.exit_code
    assert kept == [kept_s]


def test_a_time_to_keep_that_is_none_is_a_usage_error(world: Build) -> None:
    there = world(["four"])
    assert there.run("mcp", "-m", "tiny", "--keep", "soon") == 2
    assert "--keep is 'soon'; it can be like 90s, 10m or 2h" in there.err

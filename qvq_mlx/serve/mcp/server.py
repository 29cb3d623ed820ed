"""The server of the Model Context Protocol: which tools there are, and what a call comes to.

Law: a failure that an agent can act on is a result with `isError`, in the sentence that a person
would read. What a client shares is asked of it at every call, so a root that is taken back is gone
at once; a client that speaks the protocol of 2026 is asked within its call, an older one by a
request of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from pydantic import TypeAdapter, ValidationError

from qvq_mlx import __version__
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import QvqError, UsageError
from qvq_mlx.core.request import Request
from qvq_mlx.run.unexpected import bug
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.mcp.arguments import Locate, Look, ReadPages, Zoom
from qvq_mlx.serve.mcp.progress import Meter
from qvq_mlx.serve.mcp.results import LocateResult, LookResult, PagesResult, ZoomResult
from qvq_mlx.serve.mcp.roots import Roots, folders_of, started_in
from qvq_mlx.serve.mcp.spelling import ToolSpelling
from qvq_mlx.serve.mcp.tools import Arguments, Result, Tools
from qvq_mlx.settings.config import Settings

INSTRUCTIONS = (
    "Looks at pictures for you with a visual-reasoning model on this machine; nothing leaves it."
    " `look` answers questions about images, `locate` finds things and gives their boxes in the"
    " picture's own pixels, `zoom` looks at a part at full resolution, `read_pages` reads PDFs."
    " Give absolute paths. A question takes seconds to minutes; one runs at a time."
)
_ROOTS = "roots"
_READS = types.ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


@dataclass(frozen=True, slots=True)
class _Kind:
    """A tool as it is offered."""

    name: str
    title: str
    description: str
    arguments: TypeAdapter[Arguments]
    result: TypeAdapter[Result]

    @property
    def tool(self) -> types.Tool:
        """The tool with its JSON Schemas."""
        return types.Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=self.arguments.json_schema(),
            output_schema=self.result.json_schema(mode="serialization"),
            annotations=_READS,
        )


_KINDS = (
    _Kind(
        "look",
        "Look at images",
        "Ask a question about one or more images (also pages of a PDF) and get the answer, and"
        " the places that the answer points at.",
        TypeAdapter(Look),
        TypeAdapter(LookResult),
    ),
    _Kind(
        "locate",
        "Locate things in an image",
        "Find everything of a kind in one image. Returns boxes in pixels of the upright original.",
        TypeAdapter(Locate),
        TypeAdapter(LocateResult),
    ),
    _Kind(
        "read_pages",
        "Read pages of a document",
        "Read pages of a PDF or TIFF, each by itself: what it says, or the answer to a question"
        " about each.",
        TypeAdapter(ReadPages),
        TypeAdapter(PagesResult),
    ),
    _Kind(
        "zoom",
        "Look at a part of an image",
        "Cut a part out of an image at full resolution, and ask a question about it, or get it"
        " back as an image.",
        TypeAdapter(Zoom),
        TypeAdapter(ZoomResult),
    ),
)


@dataclass(frozen=True, slots=True)
class Shared:
    """Places that may be read besides the client's roots. `named` by the user, `started_in`
    where the client has no roots and the user named none.
    """

    named: tuple[Path, ...] = ()
    started_in: Path | None = None


def server_for(
    engine: EngineThread, base: Request, env: Env, settings: Settings, shared: Shared
) -> Server[None]:
    """Make the server. `base` says what holds for every question: model, limits, policy."""
    env = replace(env, spelling=ToolSpelling(env.spelling))
    calls = _Calls(Tools(engine, base, env, settings), env, shared)
    return Server(
        "qvq",
        version=__version__,
        title="qvq",
        instructions=INSTRUCTIONS,
        on_list_tools=_list_tools,
        on_call_tool=calls.call,
    )


async def _list_tools(
    _context: ServerRequestContext[None], _params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[kind.tool for kind in _KINDS])


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of the tools, by the protocol."""

    tools: Tools
    env: Env
    shared: Shared

    async def call(
        self, context: ServerRequestContext[None], params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Answer one call."""
        uris = await _roots_of(context, params)
        if isinstance(uris, types.InputRequiredResult):
            return uris

        async def report(done: float, total: float, line: str) -> None:
            await context.session.report_progress(done, total, line)

        try:
            arguments = _arguments(params)
            roots = self._roots(uris)
            return await self.tools.call(arguments, roots, Meter(report, self.env.clock))
        except Exception as error:
            return self._failed(error if isinstance(error, QvqError) else bug(error, self.env))

    def _roots(self, uris: Sequence[str] | None) -> Roots:
        """Return what may be read. `uris` None: the client has no roots."""
        places = [*self.shared.named]
        if uris is not None:
            places += folders_of(uris)
        elif not places and self.shared.started_in is not None:
            places += started_in(self.shared.started_in, self.env.home)
        return Roots.of(places)

    def _failed(self, error: QvqError) -> types.CallToolResult:
        spelling = self.env.spelling
        text = f"error[{error.code}]: {spelling.sentence(error.parts)}"
        if command := spelling.remedy(error.remedy):
            text += f"\nThe user can run: {command}"
        return types.CallToolResult(content=[types.TextContent(text=text)], is_error=True)


def _arguments(params: types.CallToolRequestParams) -> Arguments:
    """Read the arguments of a call. Raises UsageError."""
    kind = next((kind for kind in _KINDS if kind.name == params.name), None)
    if kind is None:
        known = ", ".join(kind.name for kind in _KINDS)
        raise UsageError(f"there is no tool {params.name[:40]!r}; there are {known}")
    try:
        return kind.arguments.validate_python(params.arguments or {})
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc'])) or params.name}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)[:8]
        )
        raise UsageError("; ".join(faults)) from None


async def _roots_of(
    context: ServerRequestContext[None], params: types.CallToolRequestParams
) -> list[str] | types.InputRequiredResult | None:
    """Return the URIs of the client's roots; None where it has no roots to tell.

    The result says that they have to come first, where the client is asked within its call.
    """
    able = context.session.client_capabilities
    if able is None or able.roots is None:
        return None
    request = types.ListRootsRequest()
    if context.session.can_send_request:
        found = await context.session.send_request(request, types.ListRootsResult)
        return [str(root.uri) for root in found.roots]
    answer = (params.input_responses or {}).get(_ROOTS)
    if not isinstance(answer, types.ListRootsResult):
        return types.InputRequiredResult(input_requests={_ROOTS: request})
    return [str(root.uri) for root in answer.roots]

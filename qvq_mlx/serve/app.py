"""The routes of the server, and what stands before all of them.

Law: nothing is answered before the gate was passed. What is not there, and what is asked in a wrong
way, is an error in the words of the interface that was asked.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import asdict, replace
from functools import partial
from hashlib import sha256
from importlib.resources import files

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from qvq_mlx import __version__
from qvq_mlx.serve.chat_completions import ChatCompletions
from qvq_mlx.serve.exchange import (
    Exchange,
    Receive,
    Scope,
    Send,
    Server,
    headers_of,
    refusal_of,
    send_json,
)
from qvq_mlx.serve.fields import RequestError
from qvq_mlx.serve.messages import Messages
from qvq_mlx.serve.responses import Responses
from qvq_mlx.serve.wire import EVENTS, EXTENSION, Interface, Json, Refusal, now_s

_OPEN = ("/", "/health")
"""Paths that need no token: they say nothing of what was asked."""
_INTERFACES: dict[str, Interface] = {
    "/v1/chat/completions": ChatCompletions(),
    "/v1/responses": Responses(),
    "/v1/messages": Messages(),
}


class App:
    """The whole server as an ASGI application."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._started_s = now_s()
        page = files("qvq_mlx.serve").joinpath("page.html").read_text("utf-8")
        self._page = HTMLResponse(page, headers=page_headers(page))
        routes = [
            Route("/", partial(self._say, "page"), methods=["GET"]),
            Route("/health", partial(self._say, "health"), methods=["GET"]),
            Route("/v1/models", partial(self._say, "models"), methods=["GET"]),
            Route("/v1/models/{name:path}", self._model, methods=["GET"]),
            *(
                Route(path, Exchange(server, interface), methods=["POST"])
                for path, interface in _INTERFACES.items()
            ),
        ]
        refused = {HTTPException: _no_such, RequestError: self._refused}
        self._routes = Starlette(routes=routes, exception_handlers=refused)
        self._inner = CORSMiddleware(
            self._gated,
            allow_origins=sorted(server.gate.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "x-api-key", "anthropic-version"],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request."""
        if scope["type"] == "http":
            # without an origin that was named nothing is ever said to another one
            inner = self._inner if self._server.gate.origins else self._gated
            await inner(scope, receive, send)

    async def _gated(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def watched(message: Scope) -> None:
            nonlocal begun
            begun = True
            await send(message)

        path = scope["path"]
        try:
            self._server.gate.check(headers_of(scope), needs_token=path not in _OPEN)
            await self._routes(scope, receive, watched)
        except Exception as error:
            if begun:
                raise
            refusal = refusal_of(error, self._server.env)
            await send_json(send, refusal.status, _error(path, refusal), refusal)

    async def _say(self, what: str, _request: HttpRequest) -> Response:
        match what:
            case "page":
                return self._page
            case "health":
                return JSONResponse(self._health())
            case _:
                return JSONResponse({"object": "list", "data": [self._card()]})

    async def _model(self, request: HttpRequest) -> Response:
        name = request.path_params["name"]
        if not self._server.card.answers_to(name):
            text = f"the model {name[:80]!r} is not served here"
            raise RequestError(text, "model", 404, "model_not_found")
        return JSONResponse(self._card())

    async def _refused(self, request: HttpRequest, error: Exception) -> Response:
        refusal = refusal_of(error, self._server.env)
        return JSONResponse(_error(request.url.path, refusal), refusal.status)

    def _card(self) -> Json:
        card = self._server.card
        told = replace(card, folder="")  # where it lies is nobody's business
        return {
            "id": card.name,
            "object": "model",
            "created": self._started_s,
            "owned_by": "qvq",
            EXTENSION: {"version": __version__, "events": EVENTS, "card": asdict(told)},
        }

    def _health(self) -> Json:
        status = self._server.engine.status
        return {
            "status": "ok",
            "version": __version__,
            "model": self._server.card.name,
            "loaded": status.model is not None,
            "running": status.running,
            "waiting": status.waiting,
            "ended": status.ended,
        }


def page_headers(page: str) -> dict[str, str]:
    """The headers that let the page use its own script, its own style, and this server alone."""
    script = _hash(page, "<script>", "</script>")
    style = _hash(page, "<style>", "</style>")
    policy = (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src data: blob:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-cache",
    }


def _hash(page: str, opening: str, closing: str) -> str:
    text = page.partition(opening)[2].partition(closing)[0]
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _error(path: str, refusal: Refusal) -> Json:
    return _INTERFACES.get(path, ChatCompletions()).error(refusal)


async def _no_such(request: HttpRequest, error: Exception) -> Response:
    """Answer what Starlette refuses: a path, or a method."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    text = f"{request.method} {path[:80]} is not there"
    refusal = Refusal(
        error.status_code, text, "not-found" if error.status_code == 404 else "method"
    )
    return JSONResponse(_error(path, refusal), error.status_code, error.headers)

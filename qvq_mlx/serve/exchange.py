"""One request over HTTP, from its body to the end of its reply.

Law: every request gets one clear answer, an error too; nothing that a client sends is a traceback.
Where the client leaves, its run stops. Whatever is refused before the first piece has a status of
its own; later, an error is an event of the stream.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from qvq_mlx import images
from qvq_mlx.core.card import ModelCard, ThinkingStyle
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import (
    BigModelBusyError,
    DoesNotFitError,
    InputError,
    ModelError,
    NetworkError,
    OverloadedError,
    QvqError,
    StoppedError,
    UsageError,
)
from qvq_mlx.core.events import Done
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Request
from qvq_mlx.run.plan import default_sampling
from qvq_mlx.run.unexpected import bug
from qvq_mlx.run.vote import TEMPERATURE
from qvq_mlx.serve.asked import Asked, fetcher, request_of
from qvq_mlx.serve.choices import Numbered
from qvq_mlx.serve.engine_thread import Delivery, EngineThread, Failed, Job, Planned
from qvq_mlx.serve.fields import RequestError, body_of
from qvq_mlx.serve.gate import Gate, read_body
from qvq_mlx.serve.reply import End, EventReply, Piece, Reply
from qvq_mlx.serve.spelling import JsonFields
from qvq_mlx.serve.wire import Choice, Interface, Json, Refusal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
PULSE_S = 10.0
"""A proxy ends a stream in which nothing happens."""


@dataclass(frozen=True, slots=True)
class Server:
    """State that all requests share. `may_fetch`: pictures may be addresses. The cache of every
    question has `kv_bits`.
    """

    env: Env
    card: ModelCard
    engine: EngineThread
    gate: Gate
    may_fetch: bool = False
    kv_bits: int | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """Nothing has happened for a while."""


class Exchange:
    """An ASGI endpoint that asks the model through one of the interfaces."""

    def __init__(self, server: Server, interface: Interface) -> None:
        self._server = server
        self._interface = interface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; end it where the client leaves."""
        headers = headers_of(scope)
        try:
            body = await read_body(headers, receive)
        except ConnectionError:
            return
        except RequestError as error:
            await self._refuse(send, error)
            return
        work = asyncio.ensure_future(self._answered(client_of(scope, headers), body, send))
        gone = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    async def _answered(self, client: str, body: bytes, send: Send) -> None:
        try:
            asked, request = await asyncio.to_thread(self._read, body)
            if asked.stream:
                await self._stream(asked, request, client, send)
            else:
                choices = await self._choices(asked, request, client)
                await send_json(send, 200, self._interface.whole(asked, choices))
        except Exception as error:
            await self._refuse(send, error)

    def _read(self, body: bytes) -> tuple[Asked, Request]:
        """The body as a request, in a thread: a large one takes a while."""
        server = self._server
        asked = self._interface.asked(body_of(body))
        if not server.card.answers_to(asked.model):
            text = f"the model {asked.model[:80]!r} is not served here; {server.card.name} is"
            raise RequestError(text, "model", 404, "model_not_found")
        stdin = server.env.stdin.buffer  # never read: no body can name it
        sources = images.ImageSources(stdin, server.env.environ.get("PATH"))
        fetch = fetcher(sources, may_fetch=server.may_fetch)
        settings = server.engine.settings
        return asked, request_of(asked, server.card, fetch, settings, server.kv_bits)

    async def _choices(self, asked: Asked, request: Request, client: str) -> list[Choice]:
        """The whole replies."""
        choices: dict[int, Choice] = {}
        async with aclosing(self._pieces(asked, request, client)) as pieces:
            async for number, plan, piece in pieces:
                if isinstance(piece, End):
                    choices[number] = Choice(plan, piece)
        return [choices[number] for number in range(asked.choices)]

    async def _stream(self, asked: Asked, request: Request, client: str, send: Send) -> None:
        """All choices as server-sent events, as they come."""
        stream = self._interface.stream(asked)
        sending = _Sending(send)
        choices: dict[int, Choice] = {}
        try:
            async with aclosing(self._pieces(asked, request, client)) as pieces:
                async for number, plan, piece in pieces:
                    if not sending.begun:  # it is accepted: from here on it is a stream
                        await sending.begin(stream.begin())
                    if isinstance(piece, Pulse):
                        await sending.write([stream.pulse()])
                        continue
                    await sending.write(stream.piece(number, plan, piece))
                    if isinstance(piece, End):
                        choices[number] = Choice(plan, piece)
            every = [choices[number] for number in range(asked.choices)]
            await sending.write(stream.finish(every))
        except Exception as error:
            if not sending.begun:
                raise
            await sending.write(stream.failed(self._refusal(error)))
        await sending.end()

    async def _pieces(
        self, asked: Asked, request: Request, client: str
    ) -> AsyncGenerator[tuple[int, Plan, Piece | Pulse], None]:
        """The pieces of the replies, each with its number, and pulses, from when it is accepted.

        Raises QvqError.
        """
        live = self._server.card.thinking.style is ThinkingStyle.NONE
        replies: list[Reply | EventReply] = [
            EventReply() if asked.qvq else Reply(asked.stop, live=live, tools=asked.offer.callable)
            for _ in range(asked.choices)
        ]
        plan: Plan | None = None
        request = _warm(asked, request, self._server.card)
        items = deliveries(self._server.engine, request, client, asked.choices)
        async with aclosing(items):
            async for item, job in items:
                if isinstance(item, Failed):
                    raise item.error
                if isinstance(item, Planned):
                    plan = item.plan
                if plan is None:  # it is still being planned
                    continue
                if isinstance(item, Planned | Pulse):
                    yield 0, plan, Pulse()
                    continue
                number, event = 0, item
                if isinstance(item, Numbered):
                    number, event = item.number, item.event
                assert not isinstance(event, Numbered)
                reply = replies[number]
                for piece in reply.feed(event):
                    yield number, plan, piece
                if reply.stopped:
                    (job.controls[number] if job.controls else job.control).stop()

    async def _refuse(self, send: Send, error: Exception) -> None:
        refusal = self._refusal(error)
        await send_json(send, refusal.status, self._interface.error(refusal), refusal)

    def _refusal(self, error: Exception) -> Refusal:
        return refusal_of(error, self._server.env)


class _Sending:
    """A response that is streamed."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def begin(self, first: Iterable[bytes]) -> None:
        """The head, and the first events."""
        self.begun = True
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self.write(first)

    async def write(self, events: Iterable[bytes]) -> None:
        for event in events:
            await self._send({"type": "http.response.body", "body": event, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


async def deliveries(
    engine: EngineThread, request: Request, client: str, replies: int = 1
) -> AsyncGenerator[tuple[Delivery | Pulse, Job], None]:
    """Yield what a request gets, on this loop, each with the job on its way. Closing stops it."""
    loop = asyncio.get_running_loop()
    inbox: asyncio.Queue[Delivery] = asyncio.Queue()

    def deliver(item: Delivery) -> None:
        loop.call_soon_threadsafe(inbox.put_nowait, item)

    job = engine.submit(request, client, deliver, replies)
    left = replies
    try:
        while True:
            item: Delivery | Pulse
            try:
                async with asyncio.timeout(PULSE_S):
                    item = await inbox.get()
            except TimeoutError:
                item = Pulse()
            yield item, job
            event = item.event if isinstance(item, Numbered) else item
            left -= isinstance(event, Done)
            if isinstance(event, Failed) or not left:
                return
    finally:
        engine.cancel(job)


def refusal_of(error: Exception, env: Env) -> Refusal:
    """Return an error as a client gets it: its status, and its sentence in the words of a body."""
    if isinstance(error, RequestError):
        return Refusal(error.status, error.message, error.code, error.param)
    found = error if isinstance(error, QvqError) else bug(error, env)
    status, after_s = 500, None
    match found:
        case OverloadedError():
            status, after_s = 429, math.ceil(found.retry_after_s)
        case InputError() | UsageError() | DoesNotFitError():
            status = 400
        case NetworkError():
            status = 502
        case StoppedError() | BigModelBusyError():
            status, after_s = 503, 30
        case ModelError():
            status = 503
        case _:
            pass
    spelling = JsonFields()
    message, hint = spelling.sentence(found.parts), spelling.remedy(found.remedy)
    return Refusal(status, f"{message} ({hint})" if hint else message, found.code, None, after_s)


async def send_json(send: Send, status: int, body: Json, refusal: Refusal | None = None) -> None:
    """A whole response."""
    data = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(data)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if refusal is not None and refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode()))
    if status in (408, 413):
        headers.append((b"connection", b"close"))  # the rest of the body is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers, names in lower case; of one that is sent twice the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def client_of(scope: Scope, headers: dict[str, str]) -> str:
    """Return who asks, so that programs take turns: the address and the program's own name."""
    host = (scope.get("client") or ("", 0))[0]
    return f"{host} {headers.get('user-agent', '')[:200]} {hash(headers.get('authorization', ''))}"


def _warm(asked: Asked, request: Request, card: ModelCard) -> Request:
    """The request, at a temperature where several replies are wanted: equal ones are one reply."""
    sampling = request.sampling
    if asked.choices == 1 or sampling.temperature is not None:
        return request
    if default_sampling(request, card).temperature:
        return request
    return replace(request, sampling=replace(sampling, temperature=TEMPERATURE))


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass

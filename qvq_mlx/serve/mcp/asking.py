"""Runs one question in the engine's thread, and waits for it without blocking the protocol.

Law: a call that is cancelled stops its decode before the next token is committed; a question that
failed raises what it failed with. The stream is folded here, so nothing of it is kept twice.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import assert_never

import anyio

from qvq_mlx.core.events import (
    AnswerDelta,
    AnswerRetracted,
    Done,
    Looked,
    Notice,
    Progress,
    ThinkingDelta,
    Transcript,
)
from qvq_mlx.core.plan import Plan
from qvq_mlx.core.request import Request
from qvq_mlx.records.runs import ResultRecord, request_record, result_record
from qvq_mlx.serve.choices import Numbered
from qvq_mlx.serve.engine_thread import Delivery, EngineThread, Failed, Planned
from qvq_mlx.serve.mcp.progress import Meter


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that came to its `Done`."""

    plan: Plan
    done: Done
    record: ResultRecord


async def asked(engine: EngineThread, request: Request, client: str, meter: Meter) -> Asked:
    """Ask, tell `meter` what happens, and return how it ended. Raises a QvqError."""
    send, receive = anyio.create_memory_object_stream[Delivery](math.inf)
    loop = asyncio.get_running_loop()

    def put(delivery: Delivery) -> None:
        with suppress(anyio.ClosedResourceError):  # the call was cancelled meanwhile
            send.send_nowait(delivery)

    def deliver(delivery: Delivery) -> None:
        """Called in the engine's threads, as in `EngineThread`."""
        loop.call_soon_threadsafe(put, delivery)

    job = engine.submit(request, client, deliver)
    plan: Plan | None = None
    transcript, notices = Transcript(), list[Notice]()
    try:
        async for delivery in receive:
            match delivery:
                case Planned(plan):
                    limits = plan.request.limits
                    meter.begin(plan.resolved.reply_tokens(limits.answer_tokens))
                case Failed(error):
                    raise error
                case Done():
                    assert plan is not None, "it is planned before it is asked"
                    transcript.add(delivery)
                    head = request_record(plan)
                    record = result_record(head, transcript, tuple(notices), delivery)
                    return Asked(plan, delivery, record)
                case Notice():
                    notices.append(delivery)
                case Numbered():
                    raise AssertionError("one reply is wanted")
                case Progress() | ThinkingDelta() | AnswerDelta() | AnswerRetracted() | Looked():
                    transcript.add(delivery)
                    await meter.saw(delivery)
                case _:
                    assert_never(delivery)
    finally:
        engine.cancel(job)
        send.close()
        receive.close()
    raise AssertionError("the stream ended without Done")

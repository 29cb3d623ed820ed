"""Answers a call of each tool.

Law: what a tool reads was judged by the roots before; a question runs down the same road as at a
shell, and is saved in the history like every other. A part that is returned as an image needs no
model, and none is loaded for it.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import assert_never

import anyio.to_thread
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import TypeAdapter

from qvq_mlx.core.env import Env
from qvq_mlx.core.image_options import Crop, Detail, ImageOptions, Pages, parse_pages
from qvq_mlx.core.request import Budget, Request
from qvq_mlx.images import ImageSources, bytes_of, called
from qvq_mlx.images.cutout import Cutout, cutout
from qvq_mlx.images.pages import numbers_of
from qvq_mlx.records.runs import ResultRecord, boxes_record, request_record
from qvq_mlx.run.plan import image_sources_for
from qvq_mlx.run.verdict import failure
from qvq_mlx.serve.engine_thread import EngineThread
from qvq_mlx.serve.mcp.arguments import Edges, Locate, Look, ReadPages, Zoom
from qvq_mlx.serve.mcp.asking import Asked, asked
from qvq_mlx.serve.mcp.progress import Meter
from qvq_mlx.serve.mcp.results import (
    LocateResult,
    LookResult,
    PageResult,
    PagesResult,
    SeenImage,
    ZoomResult,
)
from qvq_mlx.serve.mcp.roots import Roots
from qvq_mlx.settings.config import Settings

Arguments = Look | Locate | ReadPages | Zoom
Result = LookResult | LocateResult | PagesResult | ZoomResult

CLIENT = "mcp"
"""The name under which its requests wait for their turn."""
_TRANSCRIBE = "Write down everything that this page says, in reading order, as Markdown."
_RESULTS = TypeAdapter[Result](Result)


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of one server. `base` says what holds for every question: model, limits, policy."""

    engine: EngineThread
    base: Request
    env: Env
    settings: Settings

    async def call(self, arguments: Arguments, roots: Roots, meter: Meter) -> CallToolResult:
        """Answer one call. Raises a QvqError."""
        match arguments:
            case Look():
                return await self._look(arguments, roots, meter)
            case Locate():
                return await self._locate(arguments, roots, meter)
            case ReadPages():
                return await self._read_pages(arguments, roots, meter)
            case Zoom():
                return await self._zoom(arguments, roots, meter)
            case _:
                assert_never(arguments)

    async def _look(self, arguments: Look, roots: Roots, meter: Meter) -> CallToolResult:
        sources = tuple(map(roots.source, arguments.images))
        pages = Pages() if arguments.page is None else parse_pages(arguments.page)
        options = ImageOptions(detail=arguments.detail, pages=pages)
        request = self._request(arguments.question, sources, options, arguments.budget)
        answer = await self._asked(request, meter)
        return self._whole(answer, _looked(answer, thinking=arguments.thinking))

    async def _locate(self, arguments: Locate, roots: Roots, meter: Meter) -> CallToolResult:
        options = ImageOptions(pages=_single(arguments.page))
        question = f"Outline every {arguments.what} as a box, in JSON."
        source = roots.source(arguments.image)
        request = self._request(question, (source,), options, arguments.budget)
        answer = await self._asked(request, meter)
        text = _text(answer.record)
        complete = answer.done.complete
        [image] = boxes_record(request_record(answer.plan), text, complete=complete).images
        result = LocateResult(
            model=answer.record.model,
            path=image.path,
            page=image.page,
            width_px=image.width_px,
            height_px=image.height_px,
            boxes=image.boxes,
            points=image.points,
            problems=image.problems,
            complete=complete,
            answer=text,
            notices=answer.record.notices,
        )
        return self._whole(answer, result)

    async def _read_pages(self, arguments: ReadPages, roots: Roots, meter: Meter) -> CallToolResult:
        wanted, source = parse_pages(arguments.pages), roots.source(arguments.document)
        numbers, count = await anyio.to_thread.run_sync(_numbers, source, self._sources(), wanted)
        meter.questions = len(numbers)
        question = arguments.question or _TRANSCRIBE
        read = []
        for number in numbers:
            options = ImageOptions(detail=Detail.HIGH, pages=_single(number))
            request = self._request(question, (source,), options, arguments.budget)
            read.append(await self._asked(request, meter))
        first = read[0].record
        result = PagesResult(
            model=first.model,
            path=first.images[0].path,
            count=count,
            pages=tuple(
                PageResult(
                    number, one.record.answer, one.record.partial_answer, one.done.stop_reason
                )
                for number, one in zip(numbers, read, strict=True)
            ),
            notices=tuple(dict.fromkeys(note for one in read for note in one.record.notices)),
        )
        cut = next((one for one in read if not one.done.complete), read[0])
        return self._whole(cut, result)

    async def _zoom(self, arguments: Zoom, roots: Roots, meter: Meter) -> CallToolResult:
        source, box = roots.source(arguments.image), arguments.box
        crop = Crop(box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1)
        options = ImageOptions(Detail.HIGH, crop, _single(arguments.page))
        if arguments.question is None:
            part = await anyio.to_thread.run_sync(cutout, source, self._sources(), options)
            return _content(_zoomed(part, box, None), part)
        request = self._request(arguments.question, (source,), options, arguments.budget)
        answer = await self._asked(request, meter)
        looked = _looked(answer, thinking=False)
        [image] = looked.images
        size = (image.source_width_px, image.source_height_px)
        result = ZoomResult(image.path, image.page, *size, box.x1, box.y1, box.x2, box.y2, looked)
        return self._whole(answer, result)

    def _request(
        self, question: str, sources: tuple[str, ...], options: ImageOptions, budget: int | None
    ) -> Request:
        limits = self.base.limits
        if budget is not None:
            limits = replace(limits, budget=Budget(budget))
        return replace(
            self.base, question=question, images=sources, image_options=(options,), limits=limits
        )

    async def _asked(self, request: Request, meter: Meter) -> Asked:
        return await asked(self.engine, request, CLIENT, meter)

    def _sources(self) -> ImageSources:
        return image_sources_for(self.base, self.env, self.settings)

    def _whole(self, answer: Asked, result: Result) -> CallToolResult:
        """The reply. Where there is no whole answer it is an error that says why."""
        saved = self.settings.keeps(self.base.policy)
        failed = failure(answer.done, answer.plan, 0, saved=saved)
        if failed is None:
            return _content(result)
        told = TextContent(text=f"error[{failed.code}]: {self.env.spelling.sentence(failed.parts)}")
        reply = _content(result)
        return reply.model_copy(update={"is_error": True, "content": [told, *reply.content]})


def _content(result: Result, part: Cutout | None = None) -> CallToolResult:
    """`result` as JSON, in both forms that the protocol has, and `part` as an image."""
    shown = _RESULTS.dump_json(result).decode()
    content: list[ContentBlock] = [TextContent(text=shown)]
    if part is not None:
        data = b64encode(part.data).decode()
        content.append(ImageContent(data=data, mime_type=part.mime_type))
    structured = _RESULTS.dump_python(result, mode="json")
    return CallToolResult(content=content, structured_content=structured)


def _looked(answer: Asked, *, thinking: bool) -> LookResult:
    record = answer.record
    return LookResult(
        model=record.model,
        answer=record.answer,
        partial_answer=record.partial_answer,
        boxed=record.boxed,
        thinking=record.thinking if thinking else None,
        pointing=record.pointing or (),
        images=tuple(map(SeenImage.of, record.images)),
        stop_reason=record.stop_reason,
        generated_tokens=record.stats.generated_tokens,
        notices=record.notices,
    )


def _page(number: int, read: Asked) -> PageResult:
    record = read.record
    return PageResult(number, record.answer, record.partial_answer, record.stop_reason)


def _zoomed(part: Cutout, box: Edges, look: LookResult | None) -> ZoomResult:
    size = (part.source_width_px, part.source_height_px)
    return ZoomResult(part.name, part.page, *size, box.x1, box.y1, box.x2, box.y2, look)


def _numbers(source: str, sources: ImageSources, wanted: Pages) -> tuple[tuple[int, ...], int]:
    return numbers_of(called(source), bytes_of(source, sources), wanted)


def _text(record: ResultRecord) -> str:
    return record.answer if record.answer is not None else record.partial_answer or ""


def _single(page: int | None) -> Pages:
    return Pages() if page is None else Pages(((page, page),))

"""The models that qvq runs, as models of llm."""

from __future__ import annotations

from collections.abc import Iterator

import llm
from llm.parts import StreamEvent
from pydantic import Field

import qvq_mlx
from qvq_mlx.library import AnswerDelta, AnswerRetracted, Done, ThinkingDelta
from qvq_mlx.store import registry

_IMAGES = frozenset(
    f"image/{kind}"
    for kind in ("png", "jpeg", "webp", "gif", "bmp", "tiff", "heic", "heif", "avif")
) | {"application/pdf"}


@llm.hookimpl
def register_models(register) -> None:  # noqa: ANN001  (llm has no type for it)
    """Register `qvq`, the model that qvq would take, and `qvq/NAME` for every card."""
    register(Qvq("qvq", None))
    for card in registry.cards():
        register(Qvq(f"qvq/{card.name.removeprefix('qvq-')}", card.name))


_held: dict[str | None, qvq_mlx.Model] = {}


def _loaded(name: str | None) -> qvq_mlx.Model:
    """The model, which stays loaded until another is asked: two might not fit."""
    if name not in _held:
        for other in _held.values():
            other.close()
        _held.clear()
        _held[name] = qvq_mlx.Model(name)
    return _held[name]


class Qvq(llm.Model):
    """One model. `name` None: the configured one, else the best on this disk."""

    can_stream = True
    supports_schema = True
    supports_conversation = False
    attachment_types = _IMAGES

    class Options(llm.Options):
        """Options of a prompt, with the names of `qvq ask`."""

        budget: int | str | None = Field(None, description="Tokens of thinking, or low, high, none")
        seed: int | None = Field(None, description="Same seed, same text")
        temperature: float | None = Field(None, description="0 always takes the likeliest token")
        max_tokens: int | None = Field(None, description="Thinking and answer together")
        detail: str | None = Field(None, description="Image tokens: low, auto, high, max, a number")

    def __init__(self, model_id: str, name: str | None) -> None:
        self.model_id = model_id
        self._name = name

    def execute(
        self,
        prompt: llm.Prompt,
        stream: bool,
        response: llm.Response,
        conversation: llm.Conversation | None,
    ) -> Iterator[str | StreamEvent]:
        """Yield the thinking as reasoning, and the answer as text. Raises llm.ModelError."""
        del stream
        if conversation is not None and len(conversation.responses) > 0:
            raise llm.ModelError("qvq answers no follow-up here; ask again with the picture")
        given = prompt.options
        options = qvq_mlx.Options(
            system=prompt.system or None,
            max_tokens=given.max_tokens,
            temperature=given.temperature,
            detail=given.detail,
        )
        images = [one.path or one.url or one.content_bytes() for one in prompt.attachments]
        answer, done = [], None
        try:
            for event in _loaded(self._name).ask(
                images,
                prompt.prompt,
                budget=given.budget,
                schema=prompt.schema,
                seed=given.seed,
                options=options,
            ):
                match event:
                    case ThinkingDelta():
                        yield StreamEvent("reasoning", event.text)
                    case AnswerDelta():
                        answer.append(event.text)  # it may be taken back until the end
                    case AnswerRetracted():
                        answer.clear()
                    case Done():
                        done = event
        except qvq_mlx.QvqError as error:
            raise llm.ModelError(str(error)) from error
        if done is None or not done.complete:
            raise llm.ModelError("the model gave no whole answer; a larger budget may help")
        stats = done.stats
        response.set_usage(
            input=stats.prompt_tokens,
            output=stats.generated_tokens,
            details={"reasoning": stats.thinking_tokens, "image": stats.image_tokens},
        )
        yield "".join(answer)

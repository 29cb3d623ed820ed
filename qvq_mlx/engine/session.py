"""A loaded checkpoint that answers prompts: the engine behind `core.env.Engine`.

Law: one thread loads and generates; arrays that mlx read lazily in one thread cannot be evaluated
in another. A run leaves nothing behind on the session: the next one equals a cold one.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import mlx.core as mx

from qvq_mlx.core.card import ModelCard, Thinking, ThinkingStyle
from qvq_mlx.core.errors import BrokenModelError
from qvq_mlx.core.events import Progress, Stage, StopReason
from qvq_mlx.core.families import PatchLayout
from qvq_mlx.core.picture import Picture
from qvq_mlx.core.tokens import Control, Finished, Generation, Prompt, Step
from qvq_mlx.engine.adapter import Model, load_model
from qvq_mlx.engine.decode import Ending, Start, decode
from qvq_mlx.engine.features import Features
from qvq_mlx.engine.lane import Lane
from qvq_mlx.engine.patches import patches, read_layout
from qvq_mlx.engine.prompt import build, positions
from qvq_mlx.engine.vocabulary import Vocabulary

PREFILL_CHUNK_TOKENS = 512
"""A chunk cannot be interrupted. On a 72B model at about 65 tokens/s this is some 8 s."""


class Session:
    """One checkpoint in memory."""

    def __init__(
        self,
        model: Model,
        vocabulary: Vocabulary,
        layout: PatchLayout,
        chunk_tokens: int = PREFILL_CHUNK_TOKENS,
        opened: str = "",
    ) -> None:
        self._model = model
        self._vocabulary = vocabulary
        self._layout = layout
        self._chunk_tokens = chunk_tokens
        self._opened = opened  # what the chat template writes into the reply

    def in_chunks_of(self, tokens: int) -> Session:
        """The same model, prefilled in other chunks: the text must not change."""
        return Session(self._model, self._vocabulary, self._layout, tokens, self._opened)

    def prompt(self, question: str, pictures: Sequence[Picture], system: str | None) -> Prompt:
        """Images first, then the question."""
        return build(self._vocabulary, question, pictures, system, self._opened)

    def generate(self, prompt: Prompt, generation: Generation, control: Control) -> Iterator[Step]:
        """Encode, prefill, decode. The last item is `Finished`, also after a stop."""
        mx.reset_peak_memory()
        ending = Ending(StopReason.INTERRUPT)
        start = yield from self.start(prompt, control)
        if start is not None:
            ending = yield from decode(
                start, self._vocabulary, self._model.eos_ids, generation, control
            )
        yield Finished(
            stop_reason=ending.stop_reason,
            tail=ending.tail,
            prompt_tokens=len(prompt.ids),
            image_tokens=sum(picture.tokens for picture in prompt.pictures),
            peak_memory_bytes=mx.get_peak_memory(),
            concluded=ending.concluded,
        )

    def start(self, prompt: Prompt, control: Control) -> Generator[Progress, None, Start | None]:
        """Encode and prefill: a lane that is ready to decode. None where `control` stopped it."""
        features = yield from self._encode(prompt, control)
        if len(features) < len(prompt.pictures):
            return None
        return (yield from self._prefill(prompt, features, control))

    def _encode(
        self, prompt: Prompt, control: Control
    ) -> Generator[Progress, None, list[Features]]:
        """The vision encoder, picture by picture: its attention is quadratic in one picture."""
        total = sum(picture.tokens for picture in prompt.pictures)
        features: list[Features] = []
        done = 0
        for picture in prompt.pictures:
            if control.stopping:
                break
            yield Progress(Stage.ENCODE, done, total)
            encoded = self._model.encode(patches(picture, self._layout), self._layout.grid(picture))
            mx.eval(encoded.arrays)
            features.append(encoded)
            done += picture.tokens
        if total:
            yield Progress(Stage.ENCODE, done, total)
        return features

    def _prefill(
        self, prompt: Prompt, features: list[Features], control: Control
    ) -> Generator[Progress, None, Start | None]:
        """All but the last prompt token, which is the decode loop's first block."""
        grids = [self._layout.token_grid(picture) for picture in prompt.pictures]
        where = positions(prompt.ids, grids, self._model.image_token_id)
        embedded = self._model.embed(prompt.ids, features)
        lane: Lane = self._model.lane()
        last = len(prompt.ids) - 1
        for begin in range(0, last, self._chunk_tokens):
            yield Progress(Stage.PREFILL, begin, len(prompt.ids))
            if control.stopping:
                return None
            end = min(begin + self._chunk_tokens, last)
            lane.prefill(embedded[begin:end], where[:, begin:end])
        yield Progress(Stage.PREFILL, len(prompt.ids), len(prompt.ids))
        return Start(lane, token=prompt.ids[last], index=last, position=int(where[0, last]))


def load_session(
    card: ModelCard, folder: Path, control: Control
) -> Generator[Progress, None, Session | None]:
    """Weights, tokenizer and image layout of the checkpoint in `folder`."""
    model = yield from load_model(folder, control)
    if model is None:
        return None
    vocabulary = Vocabulary(folder / "tokenizer.json")
    layout = _layout(model, vocabulary, card, folder)
    return Session(model, vocabulary, layout, opened=_opened(card.thinking))


def _layout(model: Model, vocabulary: Vocabulary, card: ModelCard, folder: Path) -> PatchLayout:
    """The image layout; the card and the tokenizer have to agree with it."""
    if model.layout is None:
        return PatchLayout()  # no picture comes here
    layout = read_layout(folder, model.layout)
    if layout.factor_px != card.vision.factor_px:
        raise BrokenModelError(
            f"{folder} has image tokens of {layout.factor_px} px, "
            f"and the card {card.name} says {card.vision.factor_px} px"
        )
    if vocabulary.special("<|image_pad|>") != model.image_token_id:
        raise BrokenModelError(
            f"{folder}: config.json says that image tokens are {model.image_token_id}, and in"
            f" tokenizer.json they are {vocabulary.special('<|image_pad|>')}",
            f"ls -l {folder}",
        )
    return layout


def _opened(thinking: Thinking) -> str:
    """What a template that opens the thinking ends in."""
    return f"{thinking.open_tag}\n" if thinking.style is ThinkingStyle.PREOPENED else ""

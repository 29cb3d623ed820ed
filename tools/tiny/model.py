"""Ask a model folder through mlx-vlm, greedily; the only place here that runs the shipped model.

Law: the prompt is the folder's own chat template with the image before the question, and no
request leaves the machine.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from tools.tiny.hub import END_OF_TEXT, IM_END

Inputs = Mapping[str, Any]  # what the processor returns; mlx-vlm is untyped
BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def boxed(text: str) -> str | None:
    """Content of the last box of a reply."""
    found = BOXED.findall(text)
    return found[-1].strip() if found else None


class ShippedModel:
    """A model folder, loaded once."""

    def __init__(self, folder: Path) -> None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        from mlx_vlm import load

        self.model: Any
        self.processor: Any
        self.model, self.processor = load(str(folder.resolve()))

    def prompt(
        self, images: Image.Image | Sequence[Image.Image], question: str, system: str | None = None
    ) -> Inputs:
        """Processor outputs: input_ids (1, tokens), pixel_values, image_grid_thw.

        Several pictures are labelled, `Picture 1: ` first.
        """
        shown = [images] if isinstance(images, Image.Image) else list(images)
        pictures = [{"type": "image"} for _ in shown]
        content = [*pictures, {"type": "text", "text": question}]
        messages: list[dict[str, object]] = [{"role": "user", "content": content}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        text = self.processor.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, add_vision_id=len(shown) > 1
        )
        inputs: Inputs = self.processor(images=shown, text=[text])
        return inputs

    def reply_ids(self, inputs: Inputs, max_tokens: int = 220) -> list[int]:
        """Greedy token ids, without the end token."""
        from mlx_vlm.generate import generate_step

        ids: list[int] = []
        steps = generate_step(
            inputs["input_ids"],
            self.model,
            inputs["pixel_values"],
            None,
            image_grid_thw=inputs["image_grid_thw"],
            max_tokens=max_tokens,
            temperature=0.0,
        )
        for token, _ in steps:
            if int(token) in (IM_END, END_OF_TEXT):
                break
            ids.append(int(token))
        return ids

    def reply(self, images: Sequence[Image.Image], question: str) -> str:
        """The whole reply to a question about pictures, special tokens and all."""
        return str(self.processor.tokenizer.decode(self.reply_ids(self.prompt(images, question))))

    def answer(self, image: Image.Image, question: str) -> str:
        """The whole reply about one picture: thinking, closing, boxed answer."""
        return self.reply([image], question)

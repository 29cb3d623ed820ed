"""Ask a model the way `qvq ask` does: the picture as a file, the project's own engine, greedily."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image

from qvq_mlx import engine, images
from qvq_mlx.core.events import Progress
from qvq_mlx.core.request import Sampling
from qvq_mlx.core.tokens import Control, Finished, Generation, Token
from qvq_mlx.store import registry


class Asked:
    """A model of the registry (a name or a folder), loaded once."""

    def __init__(self, model: str, kv_bits: int | None = None) -> None:
        self.model = model
        self._kv_bits = kv_bits
        self._card, folder = registry.resolve(model, Path("no hub"))
        self._engine = engine.loaded(self._card, folder)

    def reply(self, image: Image.Image, question: str) -> str:
        """The model's whole text about a picture."""
        file = io.BytesIO()
        image.save(file, "PNG")
        file.seek(0)
        picture = images.read("-", self._card.vision, images.ImageSources(file))[0]
        prompt = self._engine.prompt(question, [picture], self._card.system)
        generation = Generation(Sampling(), self._card.max_tokens, kv_bits=self._kv_bits)
        text = ""
        for step in self._engine.generate(prompt, generation, Control()):
            match step:
                case Token(text=piece):
                    text += piece
                case Finished(tail=tail):
                    text += tail
                case Progress():
                    pass
        return text

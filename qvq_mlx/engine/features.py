"""Arrays that the vision encoder and the embedding hand to the language model.

Law: slicing commutes with everything: the slices of `Embedded`, prefilled one after the other,
equal the whole, also where a cut runs through a picture.

Qwen3-VL's vision encoder gives more than features: deepstack adds rows from its middle layers to
the image tokens after the first layers of the language model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Features:
    """One picture, or one step of a clip, encoded: `rows` and every deepstack layer are
    (image tokens, hidden).
    """

    rows: mx.array
    deepstack: tuple[mx.array, ...] = ()

    @property
    def tokens(self) -> int:
        """Image tokens of the picture."""
        return int(self.rows.shape[0])

    @property
    def arrays(self) -> list[mx.array]:
        """All that mx.eval has to evaluate, and a cache has to store."""
        return [self.rows, *self.deepstack]


@dataclass(frozen=True, slots=True)
class Embedded:
    """Tokens as the language model reads them; `embedded[begin:end]` is a part of them.

    `rows` is (1, tokens, hidden); `image` says which tokens are image tokens; each layer of
    `deepstack` has a row for every image token, in order: (image tokens, hidden).
    """

    rows: mx.array
    image: npt.NDArray[np.bool_]
    deepstack: tuple[mx.array, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, tokens: slice) -> Embedded:
        begin, end, step = tokens.indices(len(self))
        assert step == 1
        first = int(self.image[:begin].sum())
        last = first + int(self.image[begin:end].sum())
        return Embedded(
            self.rows[:, begin:end],
            self.image[begin:end],
            tuple(layer[first:last] for layer in self.deepstack),
        )


def embedded(
    text: mx.array, image: npt.NDArray[np.bool_], features: Sequence[Features]
) -> Embedded:
    """`text` (1, tokens, hidden) with the rows of `features` at the image tokens, in order.

    Raises AssertionError where the features are not as many as the image tokens.
    """
    assert int(image.sum()) == sum(picture.tokens for picture in features)
    if not features:
        return Embedded(text, image)
    stacked = mx.concatenate([picture.rows for picture in features], axis=0)
    text[0, mx.array(np.flatnonzero(image))] = stacked.astype(text.dtype)
    layers = zip(*(picture.deepstack for picture in features), strict=True)
    return Embedded(
        text,
        image,
        tuple(mx.concatenate(list(layer), axis=0).astype(text.dtype) for layer in layers),
    )

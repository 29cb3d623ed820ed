"""The arguments of the tools. Their JSON Schemas are what an agent reads of them."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, with_config

from qvq_mlx.core.image_options import MAX_PICTURES, Detail

_ONLY_THESE = ConfigDict(extra="forbid")


def _parsed(value: object) -> object:
    """Read an array or object that came as JSON in a string, as some clients send them."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value


Image = Annotated[
    str,
    Field(min_length=1, description="A path of an image, PDF or TIFF, or a data: URI."),
]
Page = Annotated[
    str | None,
    Field(description="Pages of a PDF or TIFF, from 1: '3', '2-4', '1,5-'. Null: the first."),
]
Budget = Annotated[
    int | None,
    Field(ge=0, description="Most tokens of thinking; fewer are faster. Null: the model's own."),
]


@with_config(_ONLY_THESE)
@dataclass(frozen=True, slots=True)
class Edges:
    """A part of a picture, in pixels of the upright original, as `locate` returns boxes."""

    x1: Annotated[int, Field(ge=0, description="First column.")]
    y1: Annotated[int, Field(ge=0, description="First row.")]
    x2: Annotated[int, Field(ge=1, description="Column behind the last one.")]
    y2: Annotated[int, Field(ge=1, description="Row behind the last one.")]

    def __post_init__(self) -> None:
        """Raise ValueError where nothing lies between the edges."""
        if self.x1 >= self.x2 or self.y1 >= self.y2:
            raise ValueError("nothing lies between the edges: x1 < x2 and y1 < y2")


@with_config(_ONLY_THESE)
@dataclass(frozen=True, slots=True)
class Look:
    """Arguments of `look`."""

    images: Annotated[
        tuple[Image, ...],
        BeforeValidator(_parsed),
        Field(min_length=1, max_length=MAX_PICTURES, description="In the question's order."),
    ]
    question: Annotated[str, Field(min_length=1, description="About all of the images.")]
    page: Page = None
    detail: Annotated[
        Detail, Field(description="Resolution that the model sees; high for small print.")
    ] = Detail.AUTO
    budget: Budget = None
    thinking: Annotated[bool, Field(description="Return the model's thinking too.")] = False


@with_config(_ONLY_THESE)
@dataclass(frozen=True, slots=True)
class Locate:
    """Arguments of `locate`."""

    image: Image
    what: Annotated[
        str, Field(min_length=1, description="What to find: 'dog', 'the Submit button'.")
    ]
    page: Annotated[
        int | None, Field(ge=1, description="A page of a PDF or TIFF. Null: the first.")
    ] = None
    budget: Budget = None


@with_config(_ONLY_THESE)
@dataclass(frozen=True, slots=True)
class ReadPages:
    """Arguments of `read_pages`."""

    document: Annotated[
        str, Field(min_length=1, description="A path of a PDF or TIFF, or a data: URI.")
    ]
    pages: Annotated[str, Field(description="'3', '2-4', '1,5-' (to the end).")] = "1"
    question: Annotated[
        str | None,
        Field(description="Asked about each page by itself. Null: write down what it says."),
    ] = None
    budget: Budget = None


@with_config(_ONLY_THESE)
@dataclass(frozen=True, slots=True)
class Zoom:
    """Arguments of `zoom`."""

    image: Image
    box: Annotated[Edges, BeforeValidator(_parsed)]
    question: Annotated[
        str | None,
        Field(min_length=1, description="About the part. Null: the part is returned as an image."),
    ] = None
    page: Annotated[
        int | None, Field(ge=1, description="A page of a PDF or TIFF. Null: the first.")
    ] = None
    budget: Budget = None

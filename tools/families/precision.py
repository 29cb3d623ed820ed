"""Runs transformers in float64, also where its code asks for float32 (norms, rotary positions).

Law: within `in_float64` the names `torch.float32` and `Tensor.float` mean 64 bits, and so does the
default type; afterwards they mean what they did.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def in_float64(model: torch.nn.Module) -> Iterator[None]:
    """Turn `model` to float64 for good, and torch for as long as the block lasts.

    Experts are computed one after the other: the grouped product knows no float64.
    """
    model.double()
    for config in (model.config, getattr(model.config, "text_config", model.config)):
        config._experts_implementation = "eager"
    names: dict[str, Any] = {"float32": torch.float32, "float": torch.float}
    narrow = torch.Tensor.float
    torch.set_default_dtype(torch.float64)
    try:
        for name in names:
            setattr(torch, name, torch.float64)
        setattr(torch.Tensor, "float", torch.Tensor.double)  # noqa: B010 - mypy knows it as a method
        yield
    finally:
        for name, dtype in names.items():
            setattr(torch, name, dtype)
        setattr(torch.Tensor, "float", narrow)  # noqa: B010
        torch.set_default_dtype(names["float32"])

"""Metal's and MLX's ways to say that there is no memory left.

Law: a program that finds no memory has no bug, and its weights are not broken: the model does not
fit. The texts are those that MLX's allocator and Metal's command buffers write:

    [metal::malloc] Attempting to allocate N bytes which is greater than the maximum allowed ...
    [malloc] Unable to allocate N bytes.
    [METAL] Command buffer execution failed: Insufficient Memory
        (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)

Sources: https://github.com/ml-explore/mlx/pull/479, https://github.com/ml-explore/mlx/issues/63,
https://github.com/youssofal/MTPLX/issues/194.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import mlx.core as mx

from qvq_mlx.core.errors import DoesNotFitError
from qvq_mlx.core.remedies import EstimateModel
from qvq_mlx.core.sizes import size

_SAYINGS = (
    "[metal::malloc]",
    "[malloc",
    "unable to allocate",
    "insufficient memory",
    "outofmemory",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True if the error says that there was no memory."""
    text = str(error).casefold()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | ValueError) and any(said in text for said in _SAYINGS)
    )


def raise_for_memory(name: str, error: BaseException) -> None:
    """Raise DoesNotFitError where `error` says that there was no memory; else do nothing.

    `name` is the model's, or its folder, for the estimate that the remedy makes.
    """
    if is_out_of_memory(error):
        raise _does_not_fit(name, error) from error


def recommended_bytes(info: Mapping[str, object]) -> int | None:
    """The working set that Metal recommends; None where it says nothing."""
    found = info.get("max_recommended_working_set_size")
    return int(found) if isinstance(found, int | float) and found > 0 else None


def wire(info: Mapping[str, object], set_limit: Callable[[int], object]) -> None:
    """Let macOS wire the weights, which it may otherwise page out between two tokens.

    Where Metal does not say how much, or refuses it, the model is loaded all the same: an owner may
    have set a lower limit (https://github.com/SceneWorks/SceneWorks/pull/1552).
    """
    limit = recommended_bytes(info)
    if limit is None:
        return
    try:
        set_limit(limit)
    except (RuntimeError, ValueError, TypeError):
        return


def _does_not_fit(name: str, error: BaseException) -> DoesNotFitError:
    """Return the error with the numbers of the moment: the peak, and what the GPU may hold."""
    reason = " ".join(str(error).split())[:120] or "no memory is left"
    limit = recommended_bytes(mx.device_info())
    most = f" of the {size(limit)} that the GPU may use" if limit else ""
    used = size(mx.get_peak_memory())
    text = f"{name} does not fit: {used}{most} were in use when memory ended ({reason})"
    return DoesNotFitError(text, EstimateModel(name))

"""A failure for want of memory says that the model does not fit; Metal's gaps stop no load."""

from __future__ import annotations

import pytest

from qvq_mlx.core.errors import DoesNotFitError, ExitCode
from qvq_mlx.core.remedies import EstimateModel
from qvq_mlx.engine.out_of_memory import is_out_of_memory, raise_for_memory, wire

REPORTED = (
    # https://github.com/ml-explore/mlx/pull/479
    (
        "[METAL] Command buffer execution failed: Insufficient Memory"
        " (00000008:kIOGPUCommandBufferCallbackErrorOutOfMemory)"
    ),
    # https://github.com/ml-explore/mlx/issues/63
    (
        "[metal::malloc] Attempting to allocate 134217728000 bytes which is greater than the"
        " maximum allowed buffer size of 9534832640 bytes."
    ),
    "[malloc_or_wait] Unable to allocate 20480 bytes.",
)


@pytest.mark.parametrize("text", REPORTED, ids=("metal", "buffer", "malloc"))
def test_no_memory_is_does_not_fit(text: str) -> None:
    with pytest.raises(DoesNotFitError) as caught:
        raise_for_memory("qvq", RuntimeError(text))
    assert caught.value.exit_code is ExitCode.NO_MEMORY
    assert caught.value.remedy == EstimateModel("qvq")
    assert "were in use when memory ended" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no such key")])
def test_another_error_stays_what_it_is(error: Exception) -> None:
    raise_for_memory("qvq", error)
    assert not is_out_of_memory(error)


@pytest.mark.parametrize(
    ("info", "asked"),
    [
        ({"max_recommended_working_set_size": 100}, [100]),
        ({"device_name": "Apple M9"}, []),
        ({"max_recommended_working_set_size": 0}, []),
        ({}, []),
    ],
    ids=("stated", "no key", "zero", "empty"),
)
def test_weights_are_wired_where_metal_says_how_much(
    info: dict[str, object], asked: list[int]
) -> None:
    limits: list[int] = []
    wire(info, limits.append)
    assert limits == asked


def test_a_limit_that_is_refused_stops_no_load() -> None:
    """https://github.com/SceneWorks/SceneWorks/pull/1552"""

    def refuse(limit: int) -> None:
        raise RuntimeError(
            "[metal::set_wired_limit] Setting a wired limit larger than the maximum working set"
            " size is not allowed."
        )

    wire({"max_recommended_working_set_size": 2**40}, refuse)

"""The published row of each benchmark, to stand beside what was measured.

Sources: the model card and announcement of QVQ-72B-Preview (December 2024). The makers did not
publish their harness; other groups measured the same weights up to four points apart
(docs/evaluate.md).
"""

from __future__ import annotations

from qvq_mlx.evaluate.gold import Benchmark

MODELS = (
    "QVQ-72B-Preview",
    "o1-2024-12-17",
    "GPT-4o-2024-05-13",
    "Claude-3.5-Sonnet-20241022",
    "Qwen2-VL-72B-Instruct",
)

PERCENT: dict[Benchmark, tuple[float | None, ...]] = {
    Benchmark.MMMU: (70.3, 77.3, 69.1, 70.4, 64.5),
    Benchmark.MATHVISTA: (71.4, 71.0, 63.8, 65.3, 70.5),
    Benchmark.MATHVISION: (35.9, None, 30.4, 35.6, 25.9),
    Benchmark.OLYMPIADBENCH: (20.4, None, 25.9, None, 11.2),
}
"""Accuracy in percent, one number per model of MODELS; None: not published."""


def row(benchmark: Benchmark) -> dict[str, float]:
    """Return what was published for a benchmark, by model."""
    pairs = zip(MODELS, PERCENT[benchmark], strict=True)
    return {name: percent for name, percent in pairs if percent is not None}

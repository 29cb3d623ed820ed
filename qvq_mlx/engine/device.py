"""Facts that MLX states about the machine, and measured costs."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx

from qvq_mlx.engine.costs import CostBook
from qvq_mlx.engine.out_of_memory import recommended_bytes
from qvq_mlx.engine.prefix import fingerprint
from qvq_mlx.engine.speculation import HOPE, best_length
from qvq_mlx.records.doctor import Device, DraftCosts


def device() -> Device:
    """The backend that models run on."""
    info = mx.device_info()
    return Device(
        name=str(info.get("device_name") or mx.default_device()),
        metal=mx.metal.is_available(),
        recommended_working_set_bytes=recommended_bytes(info),
    )


def draft_costs(name: str, folder: Path, cache_folder: Path) -> DraftCosts | None:
    """Return the measured costs of the model `name` in `folder`; None where nothing was kept.

    The cost of a draft model is not counted: it depends on which one is taken.
    """
    found = CostBook(cache_folder).costs(fingerprint(folder))
    if found is None:
        return None
    return DraftCosts(
        model=name,
        plain_s=found.plain_s,
        two_tokens_s=found.pass_s[1],
        best_drafts=best_length(found, 0.0, HOPE),
        acceptance=HOPE,
    )

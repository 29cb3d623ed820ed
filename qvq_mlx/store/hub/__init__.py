"""Downloads that finish: the only home of huggingface_hub and of its HTTP client.

`listing` says what a repository offers, `plan` what of it is missing here, `pull` fetches that.
Law: bytes that are on disk are not asked for again, whatever ended the last try; nothing is
believed before its hash was checked; the token goes to the endpoint's own host alone. No code of
a repository is fetched. hf_xet is not used: what is wanted is plain HTTP with ranges, which can go
on at any byte.
"""

from __future__ import annotations

from qvq_mlx.store.hub.listing import listing
from qvq_mlx.store.hub.part import Disk
from qvq_mlx.store.hub.pulling import RealPace, plan, pull

__all__ = ["Disk", "RealPace", "listing", "plan", "pull"]

"""Values of `models`, `list`, `show`, `licence`, `fit`, `pull` and `config` with --json.

Law: a field is added, never renamed or given another meaning, while `version` stays. Sizes are in
bytes; null is "not known" or "none".
"""

from __future__ import annotations

from dataclasses import dataclass

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.machine import Machine
from qvq_mlx.memory.choice import Standing
from qvq_mlx.memory.estimate import Estimate, Use, Verdict
from qvq_mlx.records.runs import VERSION
from qvq_mlx.store.layout import RepoKind
from qvq_mlx.store.licence import Licence


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model in one quantization. `unconfirmed`: fields of its card that no source confirms.

    `needed_bytes` and `verdict` are of a typical run: the largest picture, all tokens of the card.
    `rank` orders what is recommended, highest first; 0 is never recommended. It is the program's
    own order, set by hand; `mmmu` is what its makers publish, in percent. `standing` says why it
    stands where it does on this machine, `first_from_bytes` on which Mac it is recommended.
    `tokens_per_s` is a share of the chip's bandwidth / `read_bytes_per_token`.
    """

    name: str
    aliases: tuple[str, ...]
    base: str
    bits: float | None
    summary: str
    licence: str
    repo: str | None
    download_bytes: int
    thinks: bool
    sees: bool
    takes_video: bool
    on_disk: bool
    verdict: Verdict
    needed_bytes: int
    tokens_per_s: float | None
    rank: int
    unconfirmed: tuple[str, ...]
    standing: Standing | None = None
    read_bytes_per_token: int = 0
    first_from_bytes: int | None = None
    mmmu: float | None = None


@dataclass(frozen=True, slots=True)
class ModelsRecord:
    """`qvq models --json`. `default`: the configured model."""

    default: str | None
    machine: Machine
    models: tuple[ModelEntry, ...]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class DiskEntry:
    """One model or data set on this disk. `problem` says why it is not whole."""

    name: str
    repo: str | None
    revision: str | None
    size_bytes: int
    whole: bool
    problem: str | None
    path: str
    kind: RepoKind = RepoKind.MODEL


@dataclass(frozen=True, slots=True)
class ListRecord:
    """`qvq list --json`."""

    models: tuple[DiskEntry, ...]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class ShowRecord:
    """`qvq show MODEL --json`. `fit` is of a typical run; `path` null: not on this disk."""

    card: ModelCard
    path: str | None
    fit: Estimate
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class LicenceRecord:
    """`qvq licence MODEL --json`. `path`: the licence's text on this disk."""

    model: str
    confirmed: bool
    licence: Licence
    path: str | None
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Instead:
    """Another choice that would fit, and a command that shows it, where there is one."""

    what: str
    command: str | None


@dataclass(frozen=True, slots=True)
class FitRecord:
    """`qvq fit --json`. `needed_bytes` are the weights and the larger stage of `estimate`."""

    model: str
    verdict: Verdict
    needed_bytes: int
    use: Use
    estimate: Estimate
    instead: tuple[Instead, ...]
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class PulledFile:
    """One file. `hash`: its sha256, or git's sha1; `have_bytes` of it were here before."""

    path: str
    hash: str
    size_bytes: int
    have_bytes: int


@dataclass(frozen=True, slots=True)
class PullRecord:
    """`qvq pull MODEL --json`. `snapshot`: the folder; null after a dry run."""

    version: int
    repo: str
    revision: str
    commit: str
    licence: str | None
    fit: str | None
    size_bytes: int
    fetch_bytes: int
    free_bytes: int
    snapshot: str | None
    files: tuple[PulledFile, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One key, its value as text (null: not set), and where that comes from."""

    key: str
    value: str | None
    source: str


@dataclass(frozen=True, slots=True)
class ConfigRecord:
    """`qvq config list --json`."""

    settings: tuple[Setting, ...]
    version: int = VERSION

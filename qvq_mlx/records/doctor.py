"""Facts and verdicts of `qvq doctor`, as values.

Law: a field is added, never renamed or given another meaning, while `version` stays. Sizes are in
bytes, times in seconds; null is "not known" or "none". The home folder is written `~`, so that a
report can be shown to others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qvq_mlx.core.machine import Machine
from qvq_mlx.core.network import Network
from qvq_mlx.records.models import Setting
from qvq_mlx.records.runs import VERSION


class Health(StrEnum):
    """The verdict on a fact."""

    OK = "ok"
    WARNING = "warning"
    """It works, with less than it could."""
    PROBLEM = "problem"
    """Something does not work, and `hint` leads on."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report.

    `hint` is a command, there for every problem. `exit_code` is how a run ends that meets the
    problem; 0 where there is none.
    """

    topic: str
    name: str
    verdict: Health
    fact: str
    hint: str | None
    exit_code: int


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as a value: what a run would have ended with."""

    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class Device:
    """The device of MLX. `recommended_working_set_bytes` is its own figure; Metal alone has one."""

    name: str
    metal: bool
    recommended_working_set_bytes: int | None


@dataclass(frozen=True, slots=True)
class Library:
    """An installed distribution. `version` null: it is missing; `needs`: what qvq asks for."""

    name: str
    version: str | None
    needs: str
    fits: bool


@dataclass(frozen=True, slots=True)
class Versions:
    """Versions here. `architecture` is Python's: x86_64 on an Apple chip means Rosetta.

    `mlx_built_for` is the least macOS that MLX's wheel here was built for.
    """

    qvq: str
    python: str
    executable: str
    system: str
    architecture: str
    libraries: tuple[Library, ...]
    mlx_built_for: str | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that qvq uses. `writable`: it, or where it would be made."""

    path: str
    exists: bool
    writable: bool
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class HeldModel:
    """One model on this disk. `problem` null: it is whole; `begun`: its download never ended."""

    name: str
    repo: str | None
    revision: str | None
    size_bytes: int
    problem: str | None
    hint: str
    begun: bool


@dataclass(frozen=True, slots=True)
class Models:
    """The model cache. `chosen`: the model that the settings name, `chosen_fault` if it fails."""

    cache: Place
    held: tuple[HeldModel, ...]
    cards_fault: Fault | None
    chosen: str | None
    chosen_fault: Fault | None


@dataclass(frozen=True, slots=True)
class Kept:
    """qvq's own cache: image prefixes, at most `cap_bytes` of them."""

    folder: Place
    prefixes: int
    size_bytes: int
    cap_bytes: int


@dataclass(frozen=True, slots=True)
class Saved:
    """The history. `save`: whether runs are saved."""

    folder: Place
    runs: int
    size_bytes: int
    save: bool


@dataclass(frozen=True, slots=True)
class Configuration:
    """The config file, and the settings in force. `fault`: one that is not allowed.

    `unknown` are keys of the file that are no setting's.
    """

    path: str
    exists: bool
    settings: tuple[Setting, ...]
    fault: Fault | None
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Terminal:
    """The streams. `colours`: whether qvq would use them on stdout."""

    term: str
    columns: int
    lines: int
    colours: bool
    encoding: str
    stdin_tty: bool
    stdout_tty: bool
    stderr_tty: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """One question to the embedded model, about a picture drawn for it.

    `answer` is the boxed value that it wrote, null without a whole answer; `total_s` is from the
    request to the last token, the import of MLX and the load of the weights included.
    """

    model: str
    question: str
    expected: str
    answer: str | None
    generated_tokens: int
    total_s: float
    load_s: float
    first_token_s: float
    tokens_per_s: float
    fault: Fault | None

    @property
    def right(self) -> bool:
        """True if it answered, and that."""
        return self.fault is None and self.answer == self.expected


@dataclass(frozen=True, slots=True)
class DraftCosts:
    """Measured costs of a model on this machine: one step, and verifying two tokens at once.

    `best_drafts` is the length that pays most where `acceptance` of the drafts are right, as is
    hoped for before any is tried; 0: none pays.
    """

    model: str
    plain_s: float
    two_tokens_s: float
    best_drafts: int
    acceptance: float


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host that is asked instead of a model here. `asked` false: connections are refused.

    `models` are those that it serves; `is_qvq`: it is another qvq. `fault`: why it says nothing.
    """

    address: str
    asked: bool
    models: tuple[str, ...]
    is_qvq: bool
    fault: Fault | None


@dataclass(frozen=True, slots=True)
class RingMachine:
    """Another machine of a hostfile. `has_model` null: nobody asked. `fault`: why it is no use."""

    name: str
    working_set_bytes: int | None = None
    has_model: bool | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Ring:
    """The other machines of a hostfile, and the ring with them. `fault`: why it was not measured.

    `model` is the one whose files were looked for, with `sums` over all machines for each token.
    `sum_s` is the time of one, `bytes_per_s` what goes from a machine to the next.
    """

    machines: tuple[RingMachine, ...] = ()
    model: str | None = None
    sums: int | None = None
    sum_s: float | None = None
    bytes_per_s: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found, before it is judged. `network` null: --offline was not given;
    `host` null: none is set. `ring` null: --hosts was not given.
    """

    machine: Machine
    device: Device | None
    device_fault: Fault | None
    versions: Versions
    models: Models
    cache: Kept
    history: Saved
    configuration: Configuration
    terminal: Terminal
    trial: Trial
    draft_costs: tuple[DraftCosts, ...]
    network: Network | None
    host: HostFacts | None = None
    ring: Ring | None = None


@dataclass(frozen=True, slots=True)
class DoctorRecord:
    """`qvq doctor --json`. `verdict` is the worst of `checks`, `exit_code` the first problem's."""

    verdict: Health
    exit_code: int
    checks: tuple[Check, ...]
    facts: Facts
    version: int = VERSION

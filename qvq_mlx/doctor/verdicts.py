"""The verdicts of `qvq doctor`: facts in, one `Check` per fact out, in the order of the report.

Law: pure. A problem is what makes a run of the user's fail, and has a command as its hint and the
exit code of that run; a warning is what makes it worse or may come as a surprise. What is not known
is a warning only where qvq decides by it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.core.machine import Machine
from qvq_mlx.core.remedies import ForgetSetting, Remedy, RunProgram, Show, Spelling, Typed
from qvq_mlx.core.sizes import size
from qvq_mlx.doctor.versions import satisfies
from qvq_mlx.records.doctor import Check, DoctorRecord, Facts, Fault, Health, Place, Versions

LOW_DISK_BYTES = 2**30
"""Less free than that is a warning; less than a hundredth of it a problem."""
_FULL_DISK_BYTES = LOW_DISK_BYTES // 100
_HIGH_SHARE = 0.9
_SURE_SHARE = 1.02
"""An estimate of the working set may be so much above MLX's figure."""
_NARROW_COLUMNS = 40


@dataclass(frozen=True, slots=True)
class _Finding:
    """One verdict, its remedy not spelled yet."""

    topic: str
    name: str
    verdict: Health
    fact: str
    remedy: Remedy | None = None
    exit_code: int = 0


def judged(facts: Facts, spelling: Spelling) -> DoctorRecord:
    """The whole report, its remedies as the front end spells them."""
    found = (
        *_machine(facts),
        *_versions(facts),
        *_models(facts),
        *_own_places(facts),
        *_settings(facts),
        *_host(facts),
        *_ring(facts),
        *_terminal(facts),
        *_trial(facts),
        *_drafting(facts),
        *_network(facts),
    )
    checks = tuple(_check(finding, spelling) for finding in found)
    problems = [check for check in checks if check.verdict is Health.PROBLEM]
    warned = any(check.verdict is Health.WARNING for check in checks)
    verdict = Health.PROBLEM if problems else Health.WARNING if warned else Health.OK
    return DoctorRecord(verdict, problems[0].exit_code if problems else 0, checks, facts)


def _check(found: _Finding, spelling: Spelling) -> Check:
    hint = spelling.remedy(found.remedy) or None
    return Check(found.topic, found.name, found.verdict, found.fact, hint, found.exit_code)


def _ok(topic: str, name: str, fact: str) -> _Finding:
    return _Finding(topic, name, Health.OK, fact)


def _warning(topic: str, name: str, fact: str, remedy: Remedy | None = None) -> _Finding:
    return _Finding(topic, name, Health.WARNING, fact, remedy)


def _problem(
    topic: str, name: str, fact: str, remedy: Remedy, code: int = ExitCode.INTERNAL
) -> _Finding:
    return _Finding(topic, name, Health.PROBLEM, fact, remedy, int(code))


def _fault(topic: str, name: str, fault: Fault, remedy: Remedy) -> _Finding:
    return _problem(topic, name, fault.message, _spelt(fault.hint) or remedy, fault.exit_code)


def _spelt(hint: str | None) -> Typed | None:
    """A remedy that a record holds as its front end spelt it."""
    return Typed(hint) if hint else None


def _known(topic: str, name: str, fact: str | None) -> _Finding:
    return _ok(topic, name, fact) if fact else _warning(topic, name, "not known")


def _machine(facts: Facts) -> Iterator[_Finding]:
    topic, machine, device = "machine", facts.machine, facts.device
    yield _known(topic, "chip", machine.chip)
    memory = size(machine.memory_bytes) if machine.memory_bytes else ""
    if memory and machine.available_bytes is not None:
        memory += f", {size(machine.available_bytes)} available"
    yield _known(topic, "memory", memory)
    yield _working_set(facts)
    limit = machine.wired_limit_bytes
    if limit is None:
        yield _ok(topic, "wired limit", "not set")
    elif machine.memory_bytes and limit > _HIGH_SHARE * machine.memory_bytes:
        left = size(max(0, machine.memory_bytes - limit))
        fact = f"{size(limit)}: leaves {left} to the system"
        yield _warning(topic, "wired limit", fact, RunProgram(("sysctl", "iogpu.wired_limit_mb")))
    else:
        yield _ok(topic, "wired limit", size(limit))
    yield _power(machine)
    yield _disk("models' disk", facts.models.cache)
    yield _disk("qvq's disk", facts.cache.folder)
    is_mac = facts.versions.system.startswith("macOS")
    if device is None:
        fault = facts.device_fault
        install = _reinstall(facts, "mlx")
        said = fault.message if fault else "MLX did not say"
        yield _problem(topic, "backend", said, _spelt(fault.hint if fault else None) or install)
    elif device.metal:
        yield _ok(topic, "backend", f"Metal ({device.name})")
    elif is_mac:
        yield _problem(
            topic,
            "backend",
            "CPU: Metal is not available",
            RunProgram(("system_profiler", "SPDisplaysDataType")),
        )
    else:
        yield _warning(topic, "backend", f"CPU ({device.name}): no Metal, big models are slow")


def _power(machine: Machine) -> _Finding:
    source = machine.power or "not known"
    if machine.low_power:
        fact = f"{source}, in Low Power Mode: macOS slows the GPU down"
    elif machine.power == "battery":
        fact = "battery: macOS may slow the GPU down"
    else:
        return _ok("machine", "power", source)
    return _warning("machine", "power", fact, RunProgram(("pmset", "-g")))


def _reinstall(facts: Facts, *libraries: str) -> RunProgram:
    python = facts.versions.executable
    return RunProgram((python, "-m", "pip", "install", "--force-reinstall", *libraries))


def _working_set(facts: Facts) -> _Finding:
    topic, name, machine = "machine", "working set", facts.machine
    found = machine.working_set_bytes
    if found is None:
        return _warning(topic, name, "not known: no model is refused for its size")
    fact = f"{size(found)} ({machine.working_set_source})"
    own = facts.device.recommended_working_set_bytes if facts.device else None
    if own is None:
        return _ok(topic, name, fact)
    fact += f"; MLX recommends {size(own)}"
    if found > _SURE_SHARE * own:
        return _warning(topic, name, f"{fact}, so what only just fits may not")
    return _ok(topic, name, fact)


def _disk(name: str, place: Place) -> _Finding:
    free = place.free_bytes
    if free is None:
        return _warning("machine", name, f"free space of {place.path} is not known")
    fact = f"{size(free)} free for {place.path}"
    if free < _FULL_DISK_BYTES:
        return _problem("machine", name, fact, RunProgram(("df", "-h")))
    return (
        _warning("machine", name, fact, RunProgram(("df", "-h")))
        if free < LOW_DISK_BYTES
        else _ok("machine", name, fact)
    )


def _versions(facts: Facts) -> Iterator[_Finding]:
    topic, found = "versions", facts.versions
    yield _ok(topic, "qvq", found.qvq)
    yield _ok(topic, "Python", f"{found.python} ({found.executable})")
    system = f"{found.system}, {found.architecture}"
    python = found.executable
    if found.system.startswith("macOS") and found.architecture == "x86_64":
        fact = f"{system}: MLX needs a Python for arm64, this one is for Intel"
        yield _problem(topic, "system", fact, RunProgram(("arch", "-arm64", python, "--version")))
    elif _is_older_than_wheel(found):
        fact = f"{system}: MLX's wheel here was built for macOS {found.mlx_built_for}"
        yield _warning(topic, "system", fact, RunProgram(("softwareupdate", "--list")))
    else:
        yield _ok(topic, "system", system)
    for library in found.libraries:
        needs = f"{library.name}{library.needs.replace(' ', '')}"
        install = RunProgram((python, "-m", "pip", "install", needs))
        if library.version is None:
            yield _problem(topic, library.name, f"missing; qvq needs {needs}", install)
        elif not library.fits:
            fact = f"{library.version}; qvq needs {needs}"
            yield _problem(topic, library.name, fact, install)
        else:
            yield _ok(topic, library.name, library.version)


def _is_older_than_wheel(found: Versions) -> bool:
    own = found.system.removeprefix("macOS ").partition(" ")[0]
    wanted = found.mlx_built_for
    return found.system.startswith("macOS ") and bool(wanted) and not satisfies(own, f">={wanted}")


def _models(facts: Facts) -> Iterator[_Finding]:
    topic, found = "models", facts.models
    where = found.cache.path if found.cache.exists else f"{found.cache.path} (not there yet)"
    yield _ok(topic, "cache", where)
    if found.cards_fault:
        yield _fault(topic, "cards", found.cards_fault, Show.MODELS)
    for model in found.held:
        held = size(model.size_bytes)
        revision = f", revision {model.revision[:12]}" if model.revision else ""
        where = revision or ("" if model.repo else ", shipped")
        if model.problem is None:
            yield _ok(topic, model.name, f"whole, {held}{where}")
        elif model.begun:
            fact = f"{model.problem}, {held}: its download did not end"
            yield _warning(topic, model.name, fact, _spelt(model.hint))
        else:
            remedy = _spelt(model.hint) or Show.DOWNLOADED_MODELS
            yield _problem(topic, model.name, model.problem, remedy, ExitCode.NO_MODEL)
    if found.chosen_fault:
        yield _fault(topic, "configured", found.chosen_fault, Show.MODELS)
    elif found.chosen:
        yield _ok(topic, "configured", found.chosen)
    elif not any(model.repo and model.problem is None for model in found.held):
        fact = "none is downloaded; the embedded one knows shapes, bar charts and sums only"
        yield _warning(topic, "downloaded", fact, Show.MODELS)


def _own_places(facts: Facts) -> Iterator[_Finding]:
    kept, saved = facts.cache, facts.history
    count = "1 prefix" if kept.prefixes == 1 else f"{kept.prefixes} prefixes"
    fact = f"{count}, {size(kept.size_bytes)} of at most {size(kept.cap_bytes)}"
    yield _place("cache", kept.folder, fact, "what images cost is not kept")
    if not kept.cap_bytes:
        yield _warning("cache", "cap", "0: every question computes its image anew")
    runs = "1 run" if saved.runs == 1 else f"{saved.runs} runs"
    fact = f"{runs}, {size(saved.size_bytes)}"
    yield _place("history", saved.folder, fact, "runs are not saved")
    if not saved.save:
        yield _ok("history", "saving", "off, as the settings say")


def _place(topic: str, place: Place, fact: str, cost: str) -> _Finding:
    if place.writable:
        return _ok(topic, "folder", f"{place.path}: {fact}")
    listing = RunProgram(("ls", "-ld", place.path))
    return _warning(topic, "folder", f"{place.path} cannot be written, so {cost}; {fact}", listing)


def _settings(facts: Facts) -> Iterator[_Finding]:
    topic, found = "settings", facts.configuration
    if found.fault:
        looked = RunProgram(("cat", found.path) if found.exists else ("env",))
        yield _fault(topic, "file", found.fault, looked)
        return
    yield _ok(topic, "file", found.path if found.exists else f"{found.path} (not there)")
    for key in found.unknown:
        yield _warning(topic, "key", f"{key!r} in {found.path} is no setting", ForgetSetting(key))
    for setting in found.settings:
        value = setting.value
        told = "not set" if value is None else f"{value} (from {setting.source})"
        yield _ok(topic, setting.key, told)


def _host(facts: Facts) -> Iterator[_Finding]:
    found = facts.host
    if found is None:
        return
    topic = "host"
    if not found.asked:
        yield _ok(topic, "address", f"{found.address}, not asked: connections are refused")
    elif found.fault:
        yield _fault(topic, "address", found.fault, RunProgram(("curl", "-i", found.address)))
    else:
        yield _ok(topic, "address", f"{found.address}, {'a' if found.is_qvq else 'no'} qvq")
        yield _ok(topic, "models", ", ".join(found.models))


def _ring(facts: Facts) -> Iterator[_Finding]:
    found, topic = facts.ring, "hosts"
    if found is None:
        return
    for machine in found.machines:
        look = RunProgram(("ssh", machine.name, "true"))
        room = size(machine.working_set_bytes) if machine.working_set_bytes else "not known"
        fact = f"the same versions; {room} is what its GPU may use"
        if machine.fault:
            yield _problem(topic, machine.name, machine.fault, look, ExitCode.TRY_AGAIN)
        elif machine.has_model is False and found.model:
            missing = f"the files of {found.model} are not where they are here"
            pull = RunProgram(("ssh", machine.name, "qvq", "pull", found.model))
            yield _problem(topic, machine.name, missing, pull, ExitCode.TRY_AGAIN)
        else:
            fact += f"; has {found.model}" if found.model else ""
            yield _ok(topic, machine.name, fact)
    if found.fault:
        look = RunProgram(("ping", found.machines[0].name if found.machines else "localhost"))
        yield _problem(topic, "ring", found.fault, look, ExitCode.TRY_AGAIN)
    if found.sum_s is None or found.bytes_per_s is None:
        return
    fact = f"{found.sum_s * 1000:.2f} ms for a sum over all machines"
    if found.sums:
        token_ms = found.sums * found.sum_s * 1000
        fact += f"; {found.sums} for a token of {found.model} are {token_ms:.0f} ms"
    yield _ok(topic, "latency", fact)
    yield _ok(topic, "bandwidth", f"{found.bytes_per_s / 1e6:,.0f} MB/s")


def _terminal(facts: Facts) -> Iterator[_Finding]:
    topic, found = "terminal", facts.terminal
    watched = found.stdout_tty or found.stderr_tty
    if watched and found.term in ("", "dumb"):
        yield _warning(topic, "TERM", f"{found.term or 'not set'}: nothing is drawn live")
    else:
        yield _ok(topic, "TERM", found.term or "not set")
    size = f"{found.columns} columns, {found.lines} lines"
    if watched and found.columns < _NARROW_COLUMNS:
        yield _warning(topic, "size", f"{size}: narrow")
    else:
        yield _ok(topic, "size", size)
    yield _ok(topic, "colours", "yes" if found.colours else "no")
    if found.encoding.replace("-", "").replace("_", "").casefold() == "utf8":
        yield _ok(topic, "unicode", f"yes ({found.encoding})")
    else:
        fact = f"no ({found.encoding}): what it lacks is shown as ?"
        yield _warning(topic, "unicode", fact, RunProgram(("export", "PYTHONUTF8=1")))
    for name, is_tty in (
        ("stdin", found.stdin_tty),
        ("stdout", found.stdout_tty),
        ("stderr", found.stderr_tty),
    ):
        yield _ok(topic, name, "a terminal" if is_tty else "no terminal")


def _trial(facts: Facts) -> Iterator[_Finding]:
    topic, found = "embedded model", facts.trial
    reinstall = _reinstall(facts, "mlx", "mlx-vlm")
    if found.fault:
        yield _fault(topic, "run", found.fault, reinstall)
        return
    asked = f"asked {found.question!r} about a drawn picture"
    if found.right:
        yield _ok(topic, "answer", f"{found.answer}, which is right ({asked})")
    else:
        got = "no answer" if found.answer is None else repr(found.answer[:40])
        fact = f"{got} instead of {found.expected!r} ({asked})"
        yield _problem(topic, "answer", fact, reinstall)
    yield _ok(
        topic,
        "time",
        f"{found.total_s:.1f} s: load {found.load_s:.1f} s, first token after"
        f" {found.first_token_s:.1f} s",
    )
    speed = f"{found.tokens_per_s:.0f} tokens/s" if found.tokens_per_s else "too few to measure"
    yield _ok(topic, "speed", f"{speed} ({found.generated_tokens} tokens)")


def _drafting(facts: Facts) -> Iterator[_Finding]:
    for found in facts.draft_costs:
        ratio = found.two_tokens_s / found.plain_s
        measured = (
            f"verifying 2 tokens costs {ratio:.2f} single steps of {found.plain_s * 1e3:.1f} ms"
        )
        right = f"where {found.acceptance * 100:.0f} % of the drafts are right"
        drafts = "1 draft pays" if found.best_drafts == 1 else f"{found.best_drafts} drafts pay"
        verdict = f"{drafts} {right}" if found.best_drafts else f"does not pay, even {right}"
        yield _ok("drafting", found.model, f"{verdict}; {measured}")
    if not facts.draft_costs:
        yield _ok("drafting", "costs", "not measured yet: the first run of a model does")


def _network(facts: Facts) -> Iterator[_Finding]:
    found = facts.network
    if found is None:
        return
    topic = "offline"
    if found.events is None:
        yield _warning(topic, "sockets", "refused; nobody counted them")
    elif found.events:
        kinds = ", ".join(sorted(set(found.events)))
        fact = f"{len(found.events)} socket events seen and refused: {kinds}"
        yield _problem(topic, "sockets", fact, Show.SOCKETS)
    else:
        yield _ok(
            topic,
            "sockets",
            "0 socket events seen, the model's run included; connections are refused",
        )
    watched = ", ".join(found.looked_for)
    if found.modules:
        fact = f"loaded: {', '.join(found.modules)}"
        yield _warning(topic, "network code", fact)
    else:
        yield _ok(topic, "network code", f"none is loaded of {watched}")
    here = [model for model in facts.models.held if model.repo]
    whole = [model for model in here if model.problem is None]
    count = f"{len(whole)} of {len(here)} downloaded models are whole"
    if not here:
        yield _ok(topic, "snapshots", "no model is downloaded; the embedded ones are under models")
    elif len(whole) < len(here):
        yield _warning(topic, "snapshots", count, Show.DOWNLOADED_MODELS)
    else:
        yield _ok(topic, "snapshots", f"{count}, so asking them needs no network")

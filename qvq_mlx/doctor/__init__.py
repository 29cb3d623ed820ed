"""Gather the facts that `qvq doctor` reports.

Law: nothing here raises for what is wrong with the machine, the installation or the settings: that
is what is reported. Nothing is written, and nothing is downloaded; the embedded model is asked
through the same straight line as every question, with nothing kept of it. Paths are told with `~`
for the home folder.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ExitCode, QvqError
from qvq_mlx.core.events import Done, Stats, Transcript
from qvq_mlx.core.network import Network
from qvq_mlx.core.remedies import Spelling
from qvq_mlx.core.request import Policy, Request
from qvq_mlx.core.tokens import Control
from qvq_mlx.doctor.verdicts import judged
from qvq_mlx.doctor.versions import versions
from qvq_mlx.engine.cache_files import prefixes_in
from qvq_mlx.memory.machine import free_disk
from qvq_mlx.records.doctor import (
    Configuration,
    Device,
    DoctorRecord,
    DraftCosts,
    Facts,
    Fault,
    HeldModel,
    HostFacts,
    Kept,
    Models,
    Place,
    Ring,
    Saved,
    Terminal,
    Trial,
)
from qvq_mlx.reply.box import boxed
from qvq_mlx.settings import config
from qvq_mlx.settings.config import Settings
from qvq_mlx.store import registry
from qvq_mlx.store.inventory import Downloaded, inventory
from qvq_mlx.store.layout import RepoKind

if TYPE_CHECKING:  # few ask for it
    from qvq_mlx.run.hosts import Hosts

T = TypeVar("T")

MODEL = "qvq-tiny"
QUESTION = "How many red circles are there?"


def examined(
    env: Env, network: Callable[[], Network] | None = None, hostfile: Path | None = None
) -> DoctorRecord:
    """Look at everything, and judge it. `network` tells what was tried while connections are
    refused; None: they are not, and the report says nothing of them. `hostfile` names machines that
    are looked at, too. Raises UsageError for one that is none.
    """
    from qvq_mlx.run.hosts import read_hosts

    hosts = read_hosts(hostfile) if hostfile else None
    configuration, settings = _configuration(env)
    trial = _trial(env, settings)
    cards, cards_fault = _cards(settings, env)
    held = inventory(cards, settings.hub_cache)
    device, device_fault = _attempt(_device, env)
    facts = Facts(
        machine=env.machine(),
        device=device,
        device_fault=device_fault,
        versions=versions(),
        models=_models(held, cards_fault, settings, env),
        cache=_kept(settings),
        history=_saved(settings),
        configuration=configuration,
        terminal=_terminal(env),
        trial=trial,
        draft_costs=_attempt(lambda: _draft_costs(held, settings), env)[0] or (),
        network=network() if network else None,
        host=_host(settings, env, forbidden=network is not None),
        ring=_ring(hosts, held, cards, settings.model) if hosts else None,
    )
    homes = {str(env.home), str(env.home.resolve())}
    told = without_home(facts, homes)
    assert isinstance(told, Facts)
    return judged(told, env.spelling)


def without_home(value: object, homes: set[str]) -> object:
    """`value` with `~` for each of `homes`, in every text of it, at any depth.

    In a field called `hint`, a command, the `~` stands in front of a quoted path: it is the
    shell's to expand.
    """
    match value:
        case Enum():
            return value
        case str():
            for home in sorted(homes - {"", "/"}, key=len, reverse=True):
                value = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", value)
            return value
        case tuple():
            return tuple(without_home(item, homes) for item in value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            told = {f.name: without_home(getattr(value, f.name), homes) for f in fields(value)}
            hint = told.get("hint")
            if isinstance(hint, str):
                told["hint"] = hint.replace("'~/", "~/'")
            return replace(value, **told)
        case _:
            return value


def _attempt(ask: Callable[[], T], env: Env) -> tuple[T | None, Fault | None]:
    """Return what `ask` returns, or the fault that stopped it: an error of ours, or a bug."""
    try:
        return ask(), None
    except QvqError as error:
        return None, _fault_of(error, env)
    except Exception as error:  # a library that does not load may raise anything
        if config.debugging(env):
            raise
        return None, Fault(f"{type(error).__name__}: {error}", "", int(ExitCode.INTERNAL))


def _fault_of(error: QvqError, env: Env) -> Fault:
    message, hint = env.spelling.sentence(error.parts), env.spelling.remedy(error.remedy)
    return Fault(message, hint, int(error.exit_code))


def _configuration(env: Env) -> tuple[Configuration, Settings]:
    path = config.path_of(env)
    settings, fault = _attempt(lambda: config.read(env), env)
    described = config.described(env) if settings else ()
    unknown = settings.unknown if settings else ()
    found = Configuration(str(path), _is(path.is_file), described, fault, unknown)
    return found, settings or config.defaults(env)


def _trial(env: Env, settings: Settings) -> Trial:
    """Ask the embedded model about a drawn picture, as `qvq ask - QUESTION` would, plainly."""
    began = env.clock()
    found, fault = _attempt(lambda: _asked(env, settings), env)
    stats, answer, expected = found or (Stats(), None, "")
    return Trial(
        model=MODEL,
        question=QUESTION,
        expected=expected,
        answer=answer,
        generated_tokens=stats.generated_tokens,
        total_s=env.clock() - began,
        load_s=stats.load_s,
        first_token_s=stats.first_token_s,
        tokens_per_s=stats.tokens_per_s,
        fault=fault,
    )


def _asked(env: Env, settings: Settings) -> tuple[Stats, str | None, str]:
    """The numbers, the boxed answer where there is a whole one, and what it should be."""
    from qvq_mlx.images import drawn
    from qvq_mlx.run.ask import ask
    from qvq_mlx.run.plan import make_plan

    env = replace(env, stdin=io.TextIOWrapper(io.BytesIO(drawn.shapes())))
    # the shipped cards alone: a broken card of the user's does not keep the model from answering
    shipped = registry.cards_folder()
    settings = replace(settings, pace_tokens_per_s=0.0, cards_folder=shipped)
    policy = Policy(draft="none", use_cache=False, save=False, server=False)
    request = Request(QUESTION, ("-",), MODEL, policy=policy)
    transcript, done = Transcript(), None
    for event in ask(make_plan(request, env, settings), env, settings, Control()):
        transcript.add(event)
        done = event if isinstance(event, Done) else done
    assert done is not None, "the stream ended without Done"
    answer = boxed(transcript.answer) or transcript.answer
    return done.stats, answer if done.complete else None, str(drawn.RED_CIRCLES)


def _device() -> Device:
    from qvq_mlx import engine

    engine.import_mlx()
    from qvq_mlx.engine.device import device

    return device()


def _draft_costs(held: tuple[Downloaded, ...], settings: Settings) -> tuple[DraftCosts, ...]:
    from qvq_mlx.engine.device import draft_costs

    whole = (model for model in held if not model.problem)
    costs = (draft_costs(model.name, model.folder, settings.cache_folder) for model in whole)
    return tuple(found for found in costs if found)


def _cards(settings: Settings, env: Env) -> tuple[tuple[ModelCard, ...], Fault | None]:
    """The user's and the shipped ones, and why one of the user's is left out."""
    found, fault = _attempt(lambda: registry.cards(settings.cards_folder), env)
    if broken := registry.broken_cards(settings.cards_folder):
        fault = _fault_of(broken[0], env)
    return found or (), fault


def _models(
    held: tuple[Downloaded, ...], cards_fault: Fault | None, settings: Settings, env: Env
) -> Models:
    chosen, chosen_fault = settings.model, None
    if chosen and not cards_fault:
        _, chosen_fault = _attempt(
            lambda: registry.resolve(chosen, settings.hub_cache, settings.cards_folder), env
        )
    return Models(
        cache=_place(settings.hub_cache),
        held=tuple(_held(model, env.spelling) for model in held),
        cards_fault=cards_fault,
        chosen=chosen,
        chosen_fault=chosen_fault,
    )


def _held(model: Downloaded, spelling: Spelling) -> HeldModel:
    return HeldModel(
        name=model.name,
        repo=model.repo or None,
        revision=model.revision or None,
        size_bytes=model.size_bytes,
        problem=model.problem or None,
        hint=spelling.remedy(model.remedy),
        begun=bool(model.problem) and not model.revision and bool(model.repo),
    )


def _kept(settings: Settings) -> Kept:
    kept = prefixes_in(settings.cache_folder, settings.cache_max_bytes)
    entries = kept.entries()
    held = sum(entry.size_bytes for entry in entries)
    return Kept(_place(settings.cache_folder), len(entries), held, settings.cache_max_bytes)


def _saved(settings: Settings) -> Saved:
    sizes = []
    for path in settings.history_folder.glob("[!.]*.jsonl"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:  # removed meanwhile
            continue
    return Saved(_place(settings.history_folder), len(sizes), sum(sizes), settings.save)


def _place(folder: Path) -> Place:
    nearest = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    writable = _is(nearest.is_dir) and os.access(nearest, os.W_OK | os.X_OK)
    return Place(str(folder), _is(folder.is_dir), writable, free_disk(folder))


def _is(ask: Callable[[], bool]) -> bool:
    """Return what `ask` returns; False where the disk refuses to answer."""
    try:
        return ask()
    except OSError:
        return False


def _host(settings: Settings, env: Env, *, forbidden: bool) -> HostFacts | None:
    """Ask the host what it serves, unless connections are refused."""
    host = settings.host
    if host is None:
        return None
    if forbidden:
        return HostFacts(host.url, False, (), False, None)
    from qvq_mlx.remote.models import served
    from qvq_mlx.run.at_host import connection

    found, fault = _attempt(lambda: served(connection(host, settings, offline=False)), env)
    models = found or ()
    is_qvq = any(one.tells_events for one in models)
    return HostFacts(host.url, True, tuple(one.model for one in models), is_qvq, fault)


def _ring(
    hosts: Hosts, held: Sequence[Downloaded], cards: Sequence[ModelCard], chosen: str | None
) -> Ring:
    """Look at the machines, with the model that the settings name or else the largest here."""
    from qvq_mlx.run.hosts import checked

    whole = [one for one in held if not one.problem and one.kind is RepoKind.MODEL]
    named = [model for model in whole if model.name == chosen]
    model = max(named or whole, key=lambda one: one.size_bytes, default=None)
    if model is None:
        return checked(hosts, None, None)
    layers = [card.shape.layers for card in cards if card.name == model.name and card.shape]
    found = checked(hosts, model.name, model.folder)
    return replace(found, sums=2 * layers[0] if layers else None)


def _terminal(env: Env) -> Terminal:
    size = env.terminal_size()
    term = env.environ.get("TERM", "")
    on_screen = _is_tty(env.stdout)
    return Terminal(
        term=term,
        columns=size.columns,
        lines=size.lines,
        colours=_colours(env, on_screen=on_screen),
        encoding=env.stdout.encoding or "not known",
        stdin_tty=_is_tty(env.stdin),
        stdout_tty=on_screen,
        stderr_tty=_is_tty(env.stderr),
    )


def _colours(env: Env, *, on_screen: bool) -> bool:
    """NO_COLOR and FORCE_COLOR as no-color.org and force-color.org have them; the first wins."""
    if env.environ.get("NO_COLOR"):
        return False
    if env.environ.get("FORCE_COLOR", "").lower() not in ("", "0", "false"):
        return True
    return on_screen and env.environ.get("TERM", "") not in ("", "dumb")


def _is_tty(stream: TextIO | None) -> bool:
    """A stream that was closed before the start is None."""
    return stream is not None and not stream.closed and stream.isatty()

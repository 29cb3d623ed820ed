"""Choose the model of a command: the one that is named, the configured one, the best that is here.

Where none is here, a person is asked one question, and a script gets the command to run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from qvq_mlx.core.card import ModelCard
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import ModelNotOnDiskError, UsageError
from qvq_mlx.core.remedies import Field, PullModel, Show
from qvq_mlx.core.request import Request
from qvq_mlx.core.sizes import size
from qvq_mlx.settings.config import Settings

Pull = Callable[[ModelCard], None]
"""Downloads a model, whole, or raises a QvqError."""


def offered(env: Env, settings: Settings) -> tuple[ModelCard | None, bool]:
    """The best model that fits this machine, and True if it is on the disk; None: nothing fits.

    One that is on the disk counts before a better one that is not.
    """
    from qvq_mlx.memory.choice import best
    from qvq_mlx.store import registry
    from qvq_mlx.store.inventory import is_here

    known = registry.cards(settings.cards_folder)
    machine = env.machine()
    here = best((card for card in known if is_here(card, settings.hub_cache)), machine)
    return here or best(known, machine), here is not None


def model_for(env: Env, settings: Settings, given: str | None, pull: Pull | None = None) -> str:
    """The name of the model to take. `pull` None: nothing can be downloaded from here.

    Raises ModelNotOnDiskError where none is here and none was pulled.
    """
    if given or settings.model:
        return given or settings.model or ""
    return _best_here(env, settings, pull)


def addressed(env: Env, settings: Settings, request: Request, pull: Pull | None = None) -> Request:
    """Return `request` with who is asked: the configured host, if there is one and nothing speaks
    against it, else the model that is named, or '' for the one to take.

    A host's only model stays ''. Raises UsageError, and as `model_for` does.
    """
    host = settings.host if request.policy.server else None
    if host is None:
        return replace(request, model=model_for(env, settings, request.model or None, pull))
    if env.hostfile is not None:
        raise UsageError.excluding(Field.HOSTS, f"the host {host.name}")
    return replace(request, policy=replace(request.policy, host=host))


def _best_here(env: Env, settings: Settings, pull: Pull | None) -> str:
    """The best model on this disk, or one that a person has downloaded now."""
    offer, is_on_disk = offered(env, settings)
    if offer is None:
        raise ModelNotOnDiskError(
            "no model is on this disk, and none in the catalogue fits this machine", Show.MODELS
        )
    if is_on_disk:
        return offer.name
    facts = f"{offer.name}, {size(offer.download_bytes)}, licence {offer.licence}"
    from qvq_mlx.render.prompt import watched

    if pull and watched(env) and _accepted(env, facts, offer):
        pull(offer)
        return offer.name
    raise ModelNotOnDiskError(
        f"no model is on this disk; the best fit is {facts}", PullModel(offer.name)
    )


def _accepted(env: Env, facts: str, offer: ModelCard) -> bool:
    from qvq_mlx.render.clean import clean_line
    from qvq_mlx.render.prompt import confirmed
    from qvq_mlx.store.licence import licence_of

    facts = clean_line(facts)
    env.stderr.write(f"No model is on this disk. The best fit: {facts}.\n")
    for duty in licence_of(offer.licence).duties:
        env.stderr.write(f"  {duty}\n")
    return confirmed("Pull it now?", env)

"""Puts the model of an archive into the cache, shown as it goes, and says how to ask it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.remedies import Ask, Field, Remedy
from qvq_mlx.core.sizes import size
from qvq_mlx.render.clean import clean_line
from qvq_mlx.render.transfers import Transfers
from qvq_mlx.run.delete import allow
from qvq_mlx.store import archive
from qvq_mlx.store.layout import size_of
from qvq_mlx.system.space import free_bytes


def unpack(source: Path, hub_cache: Path, env: Env, *, repo: str, yes: bool, again: Remedy) -> None:
    """Import `source`, as `repo` where that is given. `again`: the same with a yes.

    Raises what `archive.import_` and `allow` raise.
    """
    screen = Transfers(env, size_of(source) or 0)
    ask = partial(allow, env=env, yes=yes, remedy=again)
    found = screen.watch(archive.import_(source, hub_cache, free_bytes, ask, repo))
    assert found is not None, "the listing comes last"
    env.stdout.write(f"{clean_line(found.repo)} · {size(found.size_bytes)} · every hash is right\n")
    asked = Ask(settings=((Field.MODEL, found.repo),))
    env.stdout.write(f"  try: {clean_line(env.spelling.remedy(asked))}\n")

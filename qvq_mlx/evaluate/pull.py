"""Downloads a benchmark's data set, verified, into the Hugging Face cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import InputError
from qvq_mlx.core.remedies import EvaluateModel, PullDataSet
from qvq_mlx.evaluate.datasets import DATA_SETS
from qvq_mlx.evaluate.gold import Benchmark
from qvq_mlx.render.pulling import PullScreen
from qvq_mlx.settings import config
from qvq_mlx.settings.config import Settings
from qvq_mlx.store.download import Advice, PullDone
from qvq_mlx.store.layout import RepoFolder, RepoKind


def pull_data_set(benchmark: Benchmark, split: str, env: Env, settings: Settings) -> Path:
    """Fetch what is missing, and show it; return the folder. Raises a QvqError.

    What is here stays, so an interrupted download goes on where it stopped.
    """
    from qvq_mlx.store import hub

    known = DATA_SETS[benchmark]
    access, pace = config.hub(env), hub.RealPace()
    wanted = partial(known.holds, split=split)
    listing = hub.listing(known.repo, "main", access, pace, env.now, data=wanted)
    folder, disk = RepoFolder(settings.hub_cache, known.repo, RepoKind.DATASET), hub.Disk()
    screen = PullScreen(env, document=False)
    done: PullDone | None = None
    try:
        screen.planned(hub.plan(folder, listing, disk), Advice(licence=listing.licence))
        for event in hub.pull(folder, listing, access, env.now, disk):
            screen.feed(event)
            done = event if isinstance(event, PullDone) else done
    finally:
        screen.close()
    assert done is not None, "a pull ends with PullDone"
    screen.finish(known.repo, done, EvaluateModel(benchmark))
    return done.folder


def pulled_folder(benchmark: Benchmark, hub_cache: Path) -> Path:
    """Return the folder of the data set that was pulled. Raises InputError where none was."""
    known = DATA_SETS[benchmark]
    folder = RepoFolder(hub_cache, known.repo, RepoKind.DATASET)
    commit = folder.commit_of("main")
    if commit is None:
        text = f"the data set {known.repo} of {benchmark} is not on this disk"
        raise InputError(text, PullDataSet(benchmark))
    return folder.snapshot(commit)

"""An evaluation as a command: its data set is pulled, or its report is printed."""

from __future__ import annotations

from functools import partial

from qvq_mlx.core.remedies import PullDataSet
from qvq_mlx.evaluate import session
from qvq_mlx.evaluate.pull import pull_data_set
from qvq_mlx.evaluate.session import Order
from qvq_mlx.render.batched import BatchProgress
from qvq_mlx.run.ending import notifying
from qvq_mlx.run.signals import stoppable
from qvq_mlx.run.world import World


def carry_out(
    order: Order, world: World, *, pull: bool, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Pull the data set, or evaluate and print the report, with its curve for a person."""
    env, choice = world.env, order.choice
    if pull:
        with stoppable("what came is kept", PullDataSet(choice.benchmark)):
            pull_data_set(choice.benchmark, choice.split, env, world.settings)
        return
    screen = partial(BatchProgress, env, quiet=quiet, lines=verbose)
    with notifying(env, world.settings, "the evaluation"):
        report, curve = session.carry_out(order, env, world.settings, screen)
    if as_json:
        env.stdout.write(session.as_json(report))
    else:
        env.stdout.write(session.as_text(report, curve if env.stdout.isatty() else ""))

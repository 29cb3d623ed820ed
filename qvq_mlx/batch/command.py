"""A batch as a command: its items are asked, and a person sees how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qvq_mlx.batch import Batch
from qvq_mlx.batch.items import Work
from qvq_mlx.batch.record import line
from qvq_mlx.batch.run import Target, end_of, failure, outcomes, run
from qvq_mlx.core.env import Env
from qvq_mlx.core.errors import UsageError
from qvq_mlx.core.remedies import AskMany, Field
from qvq_mlx.render.batched import BatchProgress
from qvq_mlx.run.ending import notifying
from qvq_mlx.run.left_out import warn_of_left_out
from qvq_mlx.run.outputs import check_outputs, outputs_of
from qvq_mlx.run.world import World


@dataclass(frozen=True, slots=True)
class Shown:
    """The output beside the records: nothing but errors, a line per item, the counts as JSON."""

    quiet: bool
    verbose: bool
    as_json: bool


def carry_out(world: World, batch: Batch, work: Work, target: Target, shown: Shown) -> int:
    """Ask all, show how far it is, and return 0. Raises a QvqError where an item has no answer."""
    env, file = world.env, target.file
    if work.left_out and not shown.quiet:
        warn_of_left_out(env, work.left_out)
    lines = shown.verbose or (file is None and env.stdout.isatty())
    screen = BatchProgress(env, len(work.items), quiet=shown.quiet, lines=lines)
    with notifying(env, world.settings, "the batch"):
        counts = run(batch, work.items, target, env, screen)
        screen.summed_up("batch" if file is None else str(file), outcomes(counts))
        if shown.as_json:
            env.stdout.write(line(end_of(counts, work.left_out)))
        if (error := failure(counts, file)) is not None:
            raise error
    return 0


def target_of(
    file: Path | None, table: Path | None, read: Sequence[Path], env: Env, *, retry: bool
) -> Target:
    """Build the target of the records. Raises UsageError for a contradiction, OutputError where
    an output would replace another one, or one of the files that are `read`.
    """
    if file is None and (retry or table is not None):
        wanting = Field.RETRY_ERRORS if retry else Field.CSV
        raise UsageError((wanting, " needs the file of ", Field.OUTPUT), AskMany())
    outputs = outputs_of(((Field.OUTPUT, file), (Field.CSV, table)))
    check_outputs(outputs, (), env, read)
    return Target(file, table, retry)

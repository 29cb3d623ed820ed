"""The command line: `python -m tools.fuzz_checkpoints COUNT [SEED] [--only NUMBER]`."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tools.fuzz_checkpoints import bases, mutants

_PICTURE = Path(__file__).parents[2] / "examples" / "sum.png"
_SHARE = {"ask": 78, "ask text": 4, "convert": 10, "show": 3, "fit": 3, "chat": 2}


def main() -> int:
    """Try COUNT mutants, print each that did harm, and return 1 where one did."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz_checkpoints")
    parser.add_argument("count", type=int)
    parser.add_argument("seed", type=int, nargs="?", default=random.randrange(10**6))
    parser.add_argument("--only", type=int, help="the mutant of this number alone")
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--keep", type=Path, help="leave the mutant's folder here")
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.count)
    if given.only is not None:
        numbers = range(given.only, given.only + 1)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="qvq-fuzz-") as temporary:
        folder = Path(temporary)
        # MLX computes there, so that this process, which forks, has no threads of it
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            sources = pool.apply(bases.make, (folder / "bases",))
        found = _tried(folder, sources, numbers, given.seed)
        if given.keep:
            shutil.copytree(folder / "trial", given.keep, symlinks=True)
    took_s = time.monotonic() - begun
    print(f"{len(numbers)} mutants of {len(sources)} checkpoints, seed {given.seed}: ", end="")
    print(f"{found} did harm; {took_s:.0f} s")
    return min(found, 1)


def _tried(folder: Path, sources: list[Path], numbers: range, seed: int) -> int:
    """Run them one after the other; returns how many did harm."""
    _preload(sources)
    from tools.fuzz_checkpoints.trial import Place, harm

    found = 0
    for number in numbers:
        place = Place(folder / "trial")
        shutil.rmtree(place.root, ignore_errors=True)
        place.own.mkdir(parents=True)
        outside = place.root / "outside.json"
        outside.write_text('{"a": 1}')
        draw = random.Random(f"{seed}/{number}")
        base = sources[number % len(sources)]
        what = mutants.make(base, place.mutant, draw, outside)
        command = draw.choices([*_SHARE], [*_SHARE.values()])[0]
        if told := harm(place, _argv(command, place.mutant, place.own)):
            found += 1
            print(f"#{number} {base.name} {command} {what!a:.300}\n    {told!a:.400}", flush=True)
        if number % 1000 == 999:
            print(f"... {number + 1}", flush=True)
    return found


def _argv(command: str, mutant: Path, own: Path) -> list[str]:
    model, picture = str(mutant), str(_PICTURE)
    asked = ["-m", model, "--max-tokens", "4", "--force"]
    match command:
        case "ask":
            return ["ask", picture, "What is it?", *asked, "--detail", "16"]
        case "ask text":
            return ["ask", "What is it?", *asked]
        case "convert":
            return ["convert", model, str(own / "out"), "--group-size", "32"]
        case "show":
            return ["show", model]
        case "fit":
            return ["fit", model]
        case _:
            return ["ask", picture, "What?", *asked, "--json", "--choices", "yes,no"]


def _preload(sources: list[Path]) -> None:
    """Import what the runs import, and render the chat templates that most of them share."""
    import qvq_mlx.cli.app
    import qvq_mlx.engine
    import qvq_mlx.engine.convert
    import qvq_mlx.run.show  # noqa: F401
    from qvq_mlx.families import ModelType, family_named
    from qvq_mlx.store.chat_template import facts_of, template_of

    for model_type in ModelType:
        sees = family_named(model_type).vision is not None
        for source in sources:
            facts_of(template_of(source), sees=sees)


if __name__ == "__main__":
    os.nice(19)
    sys.exit(main())

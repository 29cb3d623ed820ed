"""The command line: `python -m tools.fuzz_checkpoints COUNT [SEED] [--only NUMBER]`."""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from qvq_mlx.core.errors import ExitCode
from qvq_mlx.families import ModelType, family_named
from tools.fuzz_checkpoints import bases, mutants
from tools.fuzz_checkpoints.trial import Place, harm, run

_IMPORTED = (
    "PIL.ImageCms",
    "PIL.PngImagePlugin",
    "importlib.metadata",
    "pydantic.root_model",
    "pydantic.type_adapter",
    "qvq_mlx.cli.app",
    "qvq_mlx.engine.convert",
    "qvq_mlx.run.show",
)
_SCHEMA = '{"enum": ["yes", "no"]}'
_SHARE = {"ask": 78, "ask text": 4, "convert": 10, "show": 3, "fit": 3, "schema": 2}


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
    answered = _answered(folder, sources)
    found = 0
    for number in numbers:
        place = _fresh(Place(folder / "trial"))
        outside = place.root / "outside.json"
        outside.write_text('{"a": 1}')
        draw = random.Random(f"{seed}/{number}")
        base = sources[number % len(sources)]
        what = mutants.make(base, place.mutant, draw, outside)
        commands = answered[base]
        command = draw.choices(commands, [_SHARE[command] for command in commands])[0]
        if told := harm(run(place, _argv(command, base, place))):
            found += 1
            print(f"#{number} {base.name} {command} {what!a:.300}\n    {told!a:.400}", flush=True)
        if number % 1000 == 999:
            print(f"... {number + 1}", flush=True)
    return found


def _answered(folder: Path, sources: list[Path]) -> dict[Path, list[str]]:
    """Run every command on every checkpoint as it is; returns those that get through.

    A mutant says nothing where the sound one is refused: there is no picture for a model that needs
    one in "ask text", and what is quantized is not converted again.
    """
    answered = {base: _through(folder, base) for base in sources}
    for base, commands in answered.items():
        if "ask" not in commands:
            sys.exit(f"{base.name} is not answered as it is")
    if unused := _SHARE.keys() - {command for found in answered.values() for command in found}:
        sys.exit(f"no checkpoint gets through as it is: {', '.join(sorted(unused))}")
    return answered


def _through(folder: Path, base: Path) -> list[str]:
    """The commands that the checkpoint gets through as it is."""
    through = []
    for command in _SHARE:
        place = _fresh(Place(folder / "trial"))
        shutil.copytree(base, place.mutant)
        ended = run(place, _argv(command, base, place))
        if not harm(ended) and ended.code in (ExitCode.OK, ExitCode.NO_ANSWER):
            through.append(command)
        elif command in ("ask", "schema"):
            print(f"{base.name} {command}: {ended.code} {ended.said[-300:]!a}", flush=True)
    return through


def _fresh(place: Place) -> Place:
    shutil.rmtree(place.root, ignore_errors=True)
    place.own.mkdir(parents=True)
    return place


def _argv(command: str, base: Path, place: Place) -> list[str]:
    model, picture = str(place.mutant), str(base.parent / bases.PICTURE)
    asked = ["-m", model, "--max-tokens", "4", "--force"]
    seen = [picture] if bases.sees(base) else []
    match command:
        case "ask":
            return ["ask", *seen, "What is it?", *asked]
        case "ask text":
            return ["ask", "What is it?", *asked]
        case "convert":
            return ["convert", model, str(place.own / "out"), "--group-size", "32"]
        case "show":
            return ["show", model]
        case "fit":
            return ["fit", model]
        case _:
            return ["ask", *seen, "What?", *asked, "--json", "--schema", _SCHEMA]


def _preload(sources: list[Path]) -> None:
    """Import what the runs import, and render the chat templates that most of them share."""
    for name in _IMPORTED:
        importlib.import_module(name)
    from qvq_mlx.engine.library import family_package
    from qvq_mlx.store.chat_template import facts_of, template_of

    for model_type in ModelType:
        family = family_named(model_type)
        family_package(family.package)
        if family.vision is not None:
            family_package(family.vision.package)
        for source in sources:
            facts_of(template_of(source), sees=family.vision is not None)


if __name__ == "__main__":
    os.nice(19)
    sys.exit(main())

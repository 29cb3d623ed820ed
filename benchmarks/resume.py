"""Time `qvq batch` where all its items are done: it reads pictures and output, and asks nothing.

    python -m benchmarks.resume [--items 100000]

Two kinds of items: pictures in a folder with one question, and a JSON Lines file of as many
questions about one picture. The pictures are small and each has its own contents. The output holds
the records that such a batch leaves, some 800 bytes each, with the keys that the batch itself
computes. The command runs as a user runs it, in a process of its own. The value is the bound over
the processor time of that process, so 1 is just in time; memory is its peak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from threading import Timer

from benchmarks.results import Result, report
from qvq_mlx.batch import Batch
from qvq_mlx.batch.items import Item, from_lines, from_paths
from qvq_mlx.batch.record import BatchRecord, Status, line
from qvq_mlx.cli.world import real_env
from qvq_mlx.core.request import Request
from qvq_mlx.images.folders import pictures_in
from qvq_mlx.records.runs import VERSION
from qvq_mlx.run.groups import method_of
from qvq_mlx.run.world import open_world

BOUND_S = 5.0
"""Seconds of processor time for 100,000 items."""
EMBEDDED = Path(__file__).parents[1] / "models" / "qvq-tiny"
_QUESTION = "How many people are there?"
_RSS_UNITS = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss in a MiB


def measure(items: int) -> Iterator[Result]:
    """A tenth of the items, and all of them: pictures in a folder, then lines of questions."""
    with tempfile.TemporaryDirectory() as scratch:
        for count in (max(1, items // 10), items):
            yield _folder(Path(scratch), count)
            yield _lines(Path(scratch), count)


def _folder(scratch: Path, count: int) -> Result:
    """Every picture of a folder, one question."""
    folder = scratch / f"pictures-{count}"
    folder.mkdir()
    whole = _picture()
    for number in range(count):
        # a JPEG may be followed by anything: each file has its own bytes
        (folder / f"p{number:06}.jpg").write_bytes(whole + number.to_bytes(4, "big"))
    done = from_paths(pictures_in([str(folder)]).sources, [_QUESTION])
    return _measured("pictures in a folder", scratch, done, [str(folder), "-Q", _QUESTION])


def _lines(scratch: Path, count: int) -> Result:
    """Questions from a file about one picture."""
    picture, file = scratch / "one.jpg", scratch / f"questions-{count}.jsonl"
    picture.write_bytes(_picture())
    asked = [f"How many people are in row {number}?" for number in range(count)]
    text = "".join(json.dumps({"image": "one.jpg", "question": one}) + "\n" for one in asked)
    file.write_text(text, encoding="utf-8")
    done = from_lines(str(file), text, scratch, ())
    return _measured("lines of questions", scratch, done, ["--items", str(file)])


def _measured(what: str, scratch: Path, items: list[Item], words: list[str]) -> Result:
    """Write the records of `items`, and then run the command, which finds them all done."""
    out = scratch / "out.jsonl"
    env = {**os.environ, "QVQ_HOME": str(scratch / "home")}
    _write(out, items)
    command = [sys.executable, "-m", "qvq_mlx", "batch", *words, "-o", str(out)]
    before = out.read_bytes()
    process = subprocess.Popen(
        [*command, "-m", str(EMBEDDED), "--quiet"], stdout=subprocess.DEVNULL, env=env
    )
    # a batch that asks anything would take hours: its keys are not the ones that were written
    timer = Timer(400, process.kill)
    timer.start()
    _, status, used = os.wait4(process.pid, 0)
    timer.cancel()
    assert os.waitstatus_to_exitcode(status) == 0
    assert out.read_bytes() == before, "something was asked"
    cpu_s, peak_mib = used.ru_utime + used.ru_stime, used.ru_maxrss / _RSS_UNITS
    detail = f"{cpu_s:.2f} s of a CPU, {peak_mib:.0f} MiB at most"
    return Result(f"going on, {len(items):,} {what}", BOUND_S / cpu_s, 1.0, detail)


def _write(out: Path, items: list[Item]) -> None:
    world = open_world(real_env())
    batch = Batch(
        Request("", (), str(EMBEDDED), method=method_of(None, None, "auto", look="off")),
        world.env,
        world.settings,
    )
    with out.open("w", encoding="utf-8") as file:
        for item in items:
            record = BatchRecord(
                *(VERSION, "item", next(batch.keys_for(item)), item.id, item.images),
                *(item.question, batch.model, Status.ANSWERED, None),
                *("There are \\boxed{3} of them.", "3"),
                thinking="Let me count them row by row. " * 10,
            )
            file.write(line(record))


def _picture() -> bytes:
    from PIL import Image

    drawn = BytesIO()
    Image.new("RGB", (64, 64), (200, 40, 40)).save(drawn, "JPEG")
    return drawn.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=100_000)
    report(measure(parser.parse_args().items))

"""Mutated files end in a picture or in one clear line: no traceback, no hang, no gigabyte.

Children read them, with an address space of ADDRESS_BYTES and a timer that kills after FILE_S
seconds of work on a file, or HANG_S of waiting, whatever C code runs. Seeded: a failure names the
file's number.
"""

from __future__ import annotations

import json
import random
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

from qvq_mlx.core.errors import ImageSizeError
from tests.images.test_images import read, survives
from tests.support import seeds
from tests.support.corpus import MAKERS, case, encoded, of, scene

FILES = 300
CHILDREN = 2
ADDRESS_BYTES = 2**30
FILE_S = 5
HANG_S = 300  # of the clock: the machine may be busy with other things
_NUMBERS = (0, 1, 2, 4, 255, 256, 4096, 32_767, 65_500, 65_535, 2**24, 2**31 - 1, 2**31, 2**32 - 1)


@cache
def names() -> list[str]:
    """Files that are small enough to be broken by the hundred."""
    return [name for name in MAKERS if len(case(name).data) < 60_000]


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(1, len(data)) :]


def flip(data: bytearray, dice: random.Random) -> None:
    """Some bits, often in the head, where damage is most surprising."""
    end = len(data) if dice.random() < 0.5 else min(200, len(data))
    for _ in range(dice.choice((1, 1, 2, 8))):
        data[dice.randrange(end)] ^= 1 << dice.randrange(8)


def lie(data: bytearray, dice: random.Random) -> None:
    """A number of the head says something else: sizes, counts, offsets, kinds."""
    for _ in range(dice.randrange(1, 4)):
        form = dice.choice((">H", "<H", ">I", "<I"))
        size = struct.calcsize(form)
        at = dice.randrange(0, min(256, len(data)) - size)
        struct.pack_into(form, data, at, dice.choice(_NUMBERS) % 2 ** (8 * size))


def lie_of_size(data: bytearray, dice: random.Random) -> None:
    """The size, where each format keeps it."""
    width, height = (dice.choice((3, 40, 3_000, 10_000, 30_000, 65_500, 100_000)) for _ in range(2))
    if data[:4] == b"\x89PNG":
        struct.pack_into(">II", data, 16, width, height)
    elif data[:3] == b"GIF":
        struct.pack_into("<HH", data, 6, width % 65_536, height % 65_536)
    elif data[:2] == b"BM":
        struct.pack_into("<ii", data, 18, width, dice.choice((height, -height)))
    elif data[:2] == b"\xff\xd8":
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        struct.pack_into(">HH", data, frame + 5, height % 65_536, width % 65_536)
    elif data[8:12] == b"WEBP":
        data[12 + 8 : 12 + 18] = dice.randbytes(10)
    else:  # TIFF: the entries of the first directory
        order = "<" if data[:2] == b"II" else ">"
        (begin,) = struct.unpack_from(f"{order}I", data, 4)
        entry = begin + 2 + 12 * dice.randrange(0, 9)
        if entry + 12 <= len(data):
            struct.pack_into(f"{order}I", data, entry + 8, dice.choice(_NUMBERS))


def shuffle(data: bytearray, dice: random.Random) -> None:
    """A piece goes elsewhere, or comes twice, or is another file's."""
    begin = dice.randrange(len(data))
    piece = data[begin : begin + dice.randrange(1, 400)]
    if dice.random() < 0.3:
        other = case(dice.choice(names())).data
        piece = bytearray(other[begin % len(other) :][:400])
    elif dice.random() < 0.5:
        del data[begin : begin + len(piece)]
    at = dice.randrange(len(data) + 1)
    data[at:at] = piece


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(cut, flip, lie, lie_of_size, shuffle),
)


def mutated(seed: int) -> bytes:
    """File number `seed`: one to three mutations of one of the corpus, PNG checksums made right."""
    dice = random.Random(seed)
    small = names()
    data = bytearray(case(small[seed % len(small)]).data)
    MUTATIONS[seed // len(small) % len(MUTATIONS)](data, dice)
    for _ in range(dice.choice((0, 0, 0, 1, 2))):
        if len(data) > 64:
            dice.choice(MUTATIONS)(data, dice)
    if data[:4] == b"\x89PNG" and dice.random() < 0.8:
        mend(data)
    return bytes(data) or b"\0"


def mend(data: bytearray) -> None:
    """Right checksums, so that the lie is believed."""
    at = 8
    while at + 12 <= len(data):
        (size,) = struct.unpack_from(">I", data, at)
        end = at + 8 + size
        if end + 4 > len(data):
            return
        struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


def child(first: int, last: int, log: str) -> None:
    """Read files `first` to `last`, and print what became of them as JSON."""
    import signal

    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, ADDRESS_BYTES))
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, signal.SIG_DFL)  # kills, also within C code
    was_read = 0
    with Path(log).open("w") as place:
        for seed in range(first, last):
            place.seek(0)
            place.write(f"{seed:12}")
            place.flush()
            data = mutated(seed)
            signal.alarm(HANG_S)
            signal.setitimer(signal.ITIMER_PROF, FILE_S)
            was_read += survives(data)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"read": was_read, "refused": last - first - was_read, "peak_kib": peak_kib}))


@pytest.mark.seeded
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_AS holds on Linux only")
def test_mutated_files(tmp_path: Path) -> None:
    bounds = [seeds.SEED + FILES * part // CHILDREN for part in range(CHILDREN + 1)]
    code = f"import sys; from {__name__} import child; "
    code += "child(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])"
    running = []
    for number, (first, last) in enumerate(pairwise(bounds)):
        log = tmp_path / str(number)
        argv = [sys.executable, "-c", code, str(first), str(last), str(log)]
        pipe = subprocess.PIPE
        running.append((log, subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True)))
    said = [(log, process, *process.communicate()) for log, process in running]
    for log, process, out, err in said:
        assert (process.returncode, err) == (0, ""), f"file {log.read_text()}: {err[-2000:]}"
        found = json.loads(out)
        print(found)
        # mutations that all fail, or none, would test nothing
        assert min(found["read"], found["refused"]) > FILES / CHILDREN / 20
        assert found["peak_kib"] < ADDRESS_BYTES / 1024


# ---------------------------------------------------------------- bombs that are built on purpose


def scans(data: bytes, count: int) -> bytes:
    """A progressive JPEG whose last scan comes `count` times more."""
    end = data.rindex(b"\xff\xd9")
    begin = data.rindex(b"\xff\xda", 0, end)
    return data[:end] + data[begin:end] * count + data[end:]


def test_a_jpeg_with_many_scans() -> None:
    data = encoded(of(scene(1400, 1000)), "JPEG", progressive=True)
    assert read(data).tokens  # a handful is what progressive means
    with pytest.raises(ImageSizeError, match=r"2,0\d\d scans of 1400×1000 pixels is too large"):
        read(scans(data, 2000))


@pytest.mark.sampled(3)
@pytest.mark.parametrize("form", ["PNG", "GIF", "TIFF"])
def test_a_small_file_of_many_pixels_is_refused_by_its_header(form: str) -> None:
    from PIL import Image

    options = {"compression": "tiff_adobe_deflate"} if form == "TIFF" else {}
    data = encoded(Image.new("L", (40_000, 4_000)), form, **options)
    assert len(data) < 2**20
    with pytest.raises(ImageSizeError, match="40000×4000 pixels is too large"):
        read(data)

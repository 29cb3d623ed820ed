"""Writes packaging/requirements-hashed.txt: the pins of an installation, with their hashes.

    make constraints-hashed                              ask pip for all platforms (minutes)
    python -m tools.hashes --release dist/* --out F      the same file and a release's own hashes

Law: a hash of a wheel is the same wherever it is loaded from; the file holds no address. It is what
`pip install --require-hashes` reads (https://pip.pypa.io/en/stable/topics/secure-installs/).
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import parse_sdist_filename, parse_wheel_filename

from tools.wheels import CONSTRAINTS, ROOT, Target, Wheel, linux, mac, pins, wanted, wheels

HASHED = ROOT / "packaging" / "requirements-hashed.txt"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
TARGETS = tuple(
    target
    for python in PYTHONS
    for target in (*(mac(python, macos) for macos in (14, 15, 26)), linux(python))
)
_HEAD = """\
# Made by `make constraints-hashed` from constraints.txt: pip install --require-hashes -r THIS
# Wheels for Apple silicon (macOS 14 or newer) and Linux x86_64, Python {first} to {last}; no extras
"""


def hashed(found: Mapping[Target, Mapping[str, Wheel]]) -> str:
    """Return the requirements of all platforms, each with the hashes of its wheels.

    Raises ValueError where two platforms take different versions.
    """
    lines = [_HEAD.format(first=PYTHONS[0], last=PYTHONS[-1])]
    for name in sorted({name for one in found.values() for name in one}):
        there = {target: one[name] for target, one in found.items() if name in one}
        versions = {wheel.version for wheel in there.values()}
        if len(versions) > 1:
            raise ValueError(f"{name} has several versions: {', '.join(sorted(versions))}")
        version = versions.pop()
        digests = sorted({wheel.sha256 for wheel in there.values()})
        hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
        lines.append(f"{name}=={version}{_marker(set(there), set(found))} \\\n{hashes}\n")
        # where a package asks for `a[b]`, pip looks for a pin of `a[b]` beside that of `a`
        for extras in sorted({wheel.extras for wheel in there.values()} - {()}):
            asking = {target for target, wheel in there.items() if wheel.extras == extras}
            marker = _marker(asking, set(found))
            lines.append(f"{name}[{','.join(extras)}]=={version}{marker} \\\n{hashes}\n")
    return "".join(lines)


def _marker(there: set[Target], everywhere: set[Target]) -> str:
    """Return the marker of a requirement that not every platform has."""
    alternatives = []
    for system in sorted({target.system for target in everywhere}):
        of_system = {target.python for target in everywhere if target.system == system}
        wanting = {target.python for target in there if target.system == system}
        if wanting:
            pythons = " or ".join(f'python_version == "{one}"' for one in sorted(wanting))
            only = f" and ({pythons})" if wanting != of_system else ""
            alternatives.append((f'sys_platform == "{system}"', only))
    systems = {target.system for target in everywhere}
    onlys = {only for _, only in alternatives}
    if len(alternatives) == len(systems) and len(onlys) == 1:
        only = onlys.pop().removeprefix(" and ")
        return f" ; {only}" if only else ""
    return " ; " + " or ".join(f"{system}{only}" for system, only in alternatives)


def own(files: list[Path]) -> str:
    """Return the requirement of a release: its wheel and its sdist. Raises ValueError."""
    names = {
        (
            parse_wheel_filename(one.name)[:2]
            if one.suffix == ".whl"
            else parse_sdist_filename(one.name)
        )
        for one in files
    }
    if len(names) != 1:
        raise ValueError("these are not the files of one release")
    name, version = names.pop()
    digests = sorted(hashlib.sha256(one.read_bytes()).hexdigest() for one in files)
    hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
    return f"{name}=={version} \\\n{hashes}\n"


def asked() -> str:
    """Return the requirements that pip finds now. Raises ValueError."""
    held = pins(CONSTRAINTS.read_text("utf-8"))
    known: dict[str, Wheel] = {}
    found = {}
    for target in TARGETS:
        found[target] = wheels(target, held, wanted(), known=known)
        # a wheel for any platform needs no second look; its hash suits all of them
        known |= {name: one for name, one in found[target].items() if one.pure}
        print(f"{target.python} {target.platforms[0]}: {len(found[target])} wheels", flush=True)
    return hashed(found)


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or say what is in the way."""
    parser = argparse.ArgumentParser(prog="python -m tools.hashes")
    parser.add_argument("--release", type=Path, nargs="+", help="files to put into a copy")
    parser.add_argument("--out", type=Path, default=HASHED)
    given = parser.parse_args(arguments)
    try:
        text = HASHED.read_text("utf-8") + own(given.release) if given.release else asked()
    except ValueError as error:
        print(f"no hashes: {error}", file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare installed versions with those that qvq needs.

Law: what qvq asks for is read from its own metadata; nothing is imported to learn its version.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable

from qvq_mlx import __version__
from qvq_mlx.records.doctor import Library, Versions

LIBRARIES = ("mlx", "mlx-vlm", "huggingface-hub", "tokenizers", "pillow")

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)")


def versions() -> Versions:
    """Of qvq, of Python, of the system, and of LIBRARIES."""
    from importlib import metadata

    system = platform.mac_ver()[0]
    try:
        needs = needed(metadata.requires("qvq-mlx") or ())
    except metadata.PackageNotFoundError:  # run from a folder, without being installed
        needs = {}
    return Versions(
        qvq=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=f"macOS {system}" if system else f"{platform.system()} {platform.release()}",
        architecture=platform.machine(),
        libraries=tuple(_library(name, needs.get(name, "")) for name in LIBRARIES),
    )


def needed(requirements: Iterable[str]) -> dict[str, str]:
    """The versions that each distribution must have: `>=1.0,<2`. Markers are passed over."""
    found = (_REQUIREMENT.match(requirement) for requirement in requirements)
    return {match[1].lower(): match[2].strip() for match in found if match}


def _library(name: str, needs: str) -> Library:
    from importlib import metadata

    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Library(name, None, needs, False)
    return Library(name, version, needs, satisfies(version, needs))


def satisfies(version: str, needs: str) -> bool:
    """`>=`, `<` and `~=` of PEP 440, on the numbers of a release; the rest is passed over."""
    have = _release(version)
    for clause in filter(None, needs.split(",")):
        sign, limit = clause.strip()[:2], _release(clause.strip().lstrip("<>=~! "))
        if sign in (">=", "~=") and have < limit:
            return False
        if sign == "~=" and have[: len(limit) - 1] != limit[:-1]:
            return False
        if sign[0] == "<" and sign != "<=" and have >= limit:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()

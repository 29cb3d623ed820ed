"""Compare installed versions with those that qvq needs.

Law: what qvq asks for is read from its own metadata; nothing is imported to learn its version.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Callable, Iterable, Sequence

from qvq_mlx import __version__
from qvq_mlx.records.doctor import Library, Versions
from qvq_mlx.system.programs import run

LIBRARIES = ("mlx", "mlx-vlm", "huggingface-hub", "tokenizers", "pillow")

_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*([^;]*)")


def _said(command: Sequence[str]) -> str:
    return run(command, 256, 5.0).output.decode(errors="replace").strip()


def versions() -> Versions:
    """Of qvq, of Python, of the system, and of LIBRARIES."""
    from importlib import metadata

    try:
        needs = needed(metadata.requires("qvq-mlx") or ())
    except metadata.PackageNotFoundError:  # run from a folder, without being installed
        needs = {}
    return Versions(
        qvq=__version__,
        python=platform.python_version(),
        executable=sys.executable,
        system=system_name(platform.mac_ver()[0]),
        architecture=platform.machine(),
        mlx_built_for=built_for(_wheel_of("mlx-metal")),
        libraries=tuple(_library(name, needs.get(name, "")) for name in LIBRARIES),
    )


def system_name(seen: str, ask: Callable[[Sequence[str]], str] = _said) -> str:
    """Name the system. `seen` is the macOS version that this Python sees, '' elsewhere.

    A Python that was built with an older SDK, or run with SYSTEM_VERSION_COMPAT=1, sees 16.0 on
    macOS 26 and 10.16 on 11: https://github.com/python/cpython/issues/135675. Then both are said.
    """
    if not seen:
        return f"{platform.system()} {platform.release()}"
    try:
        own = ask(
            ("/usr/bin/env", "SYSTEM_VERSION_COMPAT=0", "/usr/bin/sw_vers", "-productVersion")
        )
    except OSError:
        own = ""
    if not own or own == seen:
        return f"macOS {seen}"
    return f"macOS {own} (this Python sees {seen}: SYSTEM_VERSION_COMPAT)"


def built_for(wheel: str) -> str | None:
    """The least macOS that a wheel of MLX runs well on, from the text of its WHEEL; None: unknown.

    The one tagged macosx_26_0 is built for 26.2: https://github.com/ml-explore/mlx/issues/4525.
    """
    found = re.search(r"^Tag: \S+-macosx_(\d+)_(\d+)_", wheel, re.MULTILINE)
    if found is None:
        return None
    version = f"{found[1]}.{found[2]}"
    return "26.2" if version == "26.0" else version


def _wheel_of(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.distribution(name).read_text("WHEEL") or ""
    except metadata.PackageNotFoundError:
        return ""


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

"""Asks pip which wheels qvq takes on a platform, with their addresses and hashes.

Law: a version stands in constraints.txt, and an address in nothing that is committed. pip is asked
when something is made, of whatever index it is configured with, and reads no wheel for that
(https://pip.pypa.io/en/stable/reference/installation-report/). It evaluates markers for the machine
that it runs on, so that the requirements are followed here, for any platform.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
_GLIBC = 35
"""The minor version that MLX's wheel for Linux wants; a newer glibc runs the same wheels."""


@dataclass(frozen=True)
class Target:
    """A Python on a platform; `platforms` are what pip calls the tags of its wheels, best first."""

    python: str
    system: str
    machine: str
    platforms: tuple[str, ...]

    def markers(self) -> dict[str, str]:
        """Return what the markers of a requirement are evaluated with."""
        return {
            "implementation_name": "cpython",
            "implementation_version": f"{self.python}.99",
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Darwin" if self.system == "darwin" else "Linux",
            "platform_version": "",
            "python_full_version": f"{self.python}.99",
            "python_version": self.python,
            "sys_platform": self.system,
        }


@dataclass(frozen=True)
class Wheel:
    """A wheel that pip would take, the requirements of its metadata, and the extras asked for."""

    name: str
    version: str
    url: str
    sha256: str
    wants: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    @property
    def pure(self) -> bool:
        """It runs on any platform."""
        return self.url.endswith("-none-any.whl")


class Asked(Protocol):
    """Gives pip's installation report for pinned requirements."""

    def __call__(self, pinned: list[str], target: Target) -> object:
        """Return the report as JSON. Raises ValueError with pip's own words."""


def mac(python: str, macos: int) -> Target:
    """Return Apple silicon with a version of macOS."""
    return Target(python, "darwin", "arm64", (f"macosx_{macos}_0_arm64",))


def linux(python: str) -> Target:
    """Return Linux on x86_64, where every requirement has a wheel."""
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 16, -1)]
    tags += ["manylinux2014_x86_64", "linux_x86_64"]
    return Target(python, "linux", "x86_64", tuple(tags))


def pins(constraints: str) -> dict[str, str]:
    """Return the versions of a constraints file, by normalized name."""
    found = re.findall(r"^([\w.-]+)==([^\s;]+)", constraints, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def wanted() -> list[str]:
    """Return what pyproject.toml asks for, without its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return list(project["dependencies"])


def pip_report(pinned: list[str], target: Target) -> object:
    """Return pip's report for pinned requirements. Raises ValueError with pip's own words."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--dry-run", "--ignore-installed", "--no-deps"]
        command += ["--only-binary", ":all:", "--target", folder, "--report", str(report)]
        command += ["--implementation", "cp", "--python-version", target.python]
        for tag in target.platforms:
            command += ["--platform", tag]
        done = subprocess.run([*command, *pinned], capture_output=True, text=True, check=False)
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
            raise ValueError(said[-1] if said else done.stderr.strip() or "pip failed")
        return json.loads(report.read_text("utf-8"))


def read(report: object) -> list[Wheel]:
    """Return the wheels of a report. Raises ValueError where one has no sha256."""
    if not isinstance(report, dict) or not isinstance(report.get("install"), list):
        raise ValueError("pip's report names nothing to install; pip 22.2 or newer writes one")
    found = []
    for item in report["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        sha256 = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256", "")
        if not re.fullmatch("[0-9a-f]{64}", sha256):
            raise ValueError(f"the index gives no sha256 for {name} {version}")
        wants = tuple(item["metadata"].get("requires_dist", ()))
        url = item["download_info"]["url"]
        found.append(Wheel(canonicalize_name(name), version, url, sha256, wants))
    return found


def wheels(
    target: Target,
    held: Mapping[str, str],
    roots: Iterable[str],
    ask: Asked = pip_report,
    known: Mapping[str, Wheel] | None = None,
) -> dict[str, Wheel]:
    """Return all wheels that the requirements take on a platform, by normalized name.

    `held` are the pins; `known` are wheels that need not be asked for again. Raises ValueError
    where a version is not pinned, contradicts a requirement, or has no wheel with a hash.
    """
    roots = list(roots)
    found = dict(known or {})
    while True:
        reached, missing = _walk(target, held, roots, found)
        if not missing:
            return {
                name: replace(found[name], extras=tuple(sorted(reached[name])))
                for name in sorted(reached)
            }
        asked = read(ask([f"{name}=={version}" for name, version in missing.items()], target))
        found |= {wheel.name: wheel for wheel in asked}
        unanswered = missing.keys() - {wheel.name for wheel in asked}
        if unanswered:
            raise ValueError(f"pip's report leaves out {', '.join(sorted(unanswered))}")


def _walk(
    target: Target, held: Mapping[str, str], roots: list[str], found: Mapping[str, Wheel]
) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Return what is reached, with its extras, and the versions of what is to be asked for."""
    markers = target.markers()
    reached: dict[str, set[str]] = {}
    missing: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(Requirement(text), "") for text in roots]
    while queue:
        wish, extra = queue.pop()
        if wish.marker and not wish.marker.evaluate({**markers, "extra": extra}):
            continue
        name = canonicalize_name(wish.name)
        version = _version(wish, held)
        reached.setdefault(name, set()).update(wish.extras)
        if name not in found:
            missing[name] = version
            continue
        for one in {"", *wish.extras}:
            if (name, one) not in seen:
                seen.add((name, one))
                queue += [(Requirement(text), one) for text in found[name].wants]
    return reached, missing


def _version(wish: Requirement, held: Mapping[str, str]) -> str:
    """Return the pin of a requirement; one that asks for a single version is a pin itself."""
    exact = re.fullmatch(r"==([\w.!+-]+)", str(wish.specifier))
    version = held.get(canonicalize_name(wish.name)) or (exact[1] if exact else None)
    if version is None:
        raise ValueError(f"{wish.name} is not pinned in constraints.txt")
    if not wish.specifier.contains(version, prereleases=True):
        raise ValueError(f"constraints.txt pins {wish.name}=={version}; {wish} is asked for")
    return version

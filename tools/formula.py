"""Writes a Homebrew formula: every wheel that constraints.txt pins, for Apple silicon, by its hash.

    make formula URL=https://…/qvq_mlx-0.1.0-py3-none-any.whl       from a release that is there
    python -m tools.formula --url URL --wheel dist/*.whl            before it is there
    python -m tools.formula --url URL --out build/qvq.rb --homepage https://…

Law: the formula holds addresses, so that it is made for a release and never committed. They come
from tools/wheels.py. Each wheel is a resource, and nothing is compiled
(https://docs.brew.sh/Python-for-Formula-Authors). The headers of a wheel's libraries may have no
room for the paths that Homebrew writes into libraries: `preserve_rpath` leaves them as they are.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from tools.wheels import CONSTRAINTS, ROOT, Wheel, mac, pins, wanted, wheels

PYTHON = "3.12"
MACOS = {14: "on_sonoma :or_older", 15: "on_sequoia", 26: "on_tahoe :or_newer"}
"""The versions of macOS that MLX has wheels for, and how a formula speaks of them."""
_ADDRESS = re.compile(r"https://[\w.-]+(?::\d+)?/[\w./%+~-]*", re.ASCII)

_TEMPLATE = """\
# Made by `python -m tools.formula` for a release: every wheel for Apple silicon, by its hash.
class Qvq < Formula
  include Language::Python::Virtualenv

  desc "Ask a visual-reasoning model about an image, privately and offline"
  homepage "{homepage}"
  url "{url}", using: :nounzip
  version "{version}"
  sha256 "{sha256}"
  license "MIT"

  depends_on arch: :arm64
  depends_on macos: :sonoma
  depends_on "python@{python}"

  preserve_rpath

{resources}
  def install
    virtualenv_create(libexec, "python{python}", system_site_packages: false)
    pip = ["python{python}", "-m", "pip", "--python=#{{libexec}}/bin/python", "install"]
    pip += ["--no-deps", "--no-index"]
    resources.each do |wheel|
      wheel.stage {{ system(*pip, *Dir["*.whl"]) }}
    end
    system(*pip, *Dir["*.whl"])
    bin.install_symlink libexec/"bin/qvq"
    man1.install_symlink libexec/"share/man/man1/qvq.1"
  end

  test do
    assert_match version.to_s, shell_output("#{{bin}}/qvq --version")
  end
end
"""


def formula(found: Mapping[int, Mapping[str, Wheel]], release: Wheel, homepage: str) -> str:
    """Return the formula of a release; `found` holds the wheels by the version of macOS.

    Raises ValueError where an address is one that a user's Mac cannot load from.
    """
    names = sorted({name for one in found.values() for name in one})
    resources = [_resource(name, {key: one[name] for key, one in found.items()}) for name in names]
    return _TEMPLATE.format(
        homepage=_address(homepage, "the homepage"),
        url=_address(release.url, release.name),
        version=release.version,
        sha256=release.sha256,
        python=PYTHON,
        resources="\n".join(resources),
    )


def _resource(name: str, by_macos: Mapping[int, Wheel]) -> str:
    """Return a block; a wheel that is another on a newer macOS stands in a block of its own."""
    lines = [f'  resource "{name}" do']
    if len(set(by_macos.values())) == 1:
        lines += _source(next(iter(by_macos.values())), "    ")
    else:
        for macos, wheel in by_macos.items():
            lines += [f"    {MACOS[macos]} do", *_source(wheel, "      "), "    end"]
    return "\n".join([*lines, "  end\n"])


def _source(wheel: Wheel, indent: str) -> list[str]:
    url = _address(wheel.url, wheel.name)
    return [f'{indent}url "{url}", using: :nounzip', f'{indent}sha256 "{wheel.sha256}"']


def _address(url: str, name: str) -> str:
    """Return an address that anybody can load from, and that is no more than text in Ruby."""
    if not _ADDRESS.fullmatch(url):
        # no more of the address is said: it may hold a password
        scheme = url.partition(":")[0]
        raise ValueError(f"{name} lies at {scheme}:…; a formula takes a plain https address")
    return url


def released(url: str, wheel: Path | None) -> Wheel:
    """Return the project's own wheel; pip loads it where the file is not here.

    Raises ValueError where the address is not that of a wheel of the project.
    """
    _address(url, "the release")
    file_name = url.rpartition("/")[2]
    try:
        name, version, _, _ = parse_wheel_filename(file_name)
    except InvalidWheelFilename:
        name, version = None, None
    if name != "qvq-mlx" or (wheel and wheel.name != file_name):
        raise ValueError(
            f"{file_name} is not the released wheel (an sdist needs tools to build it)"
        )
    if wheel:
        return Wheel("qvq-mlx", str(version), url, _sha256(wheel))
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        done = subprocess.run([*command, folder, url], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(done.stderr.strip())
        return Wheel("qvq-mlx", str(version), url, _sha256(Path(folder) / file_name))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def made(url: str, wheel: Path | None, homepage: str) -> str:
    """Return the formula with the wheels that pip finds now. Raises ValueError."""
    release = released(url, wheel)
    held = pins(CONSTRAINTS.read_text("utf-8"))
    known: dict[str, Wheel] = {}
    found = {}
    for macos in MACOS:
        found[macos] = wheels(mac(PYTHON, macos), held, wanted(), known=known)
        known |= {name: one for name, one in found[macos].items() if one.pure}
    return formula(found, release, homepage)


def main(arguments: list[str] | None = None) -> int:
    """Write the formula, or say what is in the way."""
    parser = argparse.ArgumentParser(prog="python -m tools.formula")
    parser.add_argument("--url", required=True, help="where the release's wheel is, or will be")
    parser.add_argument("--wheel", type=Path, help="the same file, where it is here")
    parser.add_argument("--homepage", help="the project's page; else the host of the release")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "qvq.rb")
    given = parser.parse_args(arguments)
    homepage = given.homepage or "/".join(given.url.split("/")[:3]) + "/"
    try:
        text = made(given.url, given.wheel, homepage)
    except ValueError as error:
        print(f"no formula: {error}", file=sys.stderr)
        return 1
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(text, "utf-8")
    print(f"{given.out}: {text.count('  resource ')} wheels")
    return 0


if __name__ == "__main__":
    sys.exit(main())

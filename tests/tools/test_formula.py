"""The Homebrew formula holds the wheels that constraints.txt pins, by address and hash."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tools.formula import CONSTRAINTS, FORMULA, faults, formula, released

WHEELS = {
    "26": "cp313-cp313-macosx_26_0",
    "14": "cp313-cp313-macosx_14_0",
    "12": "cp312-cp312-macosx_14_0",
}
_WHEEL = (
    '{{ url = "https://files.example/mlx-0.32.4-{}_arm64.whl", hashes = {{ sha256 = "{}" }} }},'
)
LOCK = "\n".join(
    (
        *("[[packages]]", 'name = "mlx"', "wheels = ["),
        *(_WHEEL.format(tags, digest) for digest, tags in WHEELS.items()),
        "]\n",
    )
)
TEXT = FORMULA.read_text()


def test_the_wheel_for_the_oldest_macos_is_taken() -> None:
    assert re.findall(r'sha256 "(\d\d)"', formula(LOCK)) == ["14"]
    with pytest.raises(ValueError, match="mlx has no wheel for Python 3.13"):
        formula(LOCK.replace("cp313", "cp310"))


def test_it_holds_the_pins() -> None:
    pins = CONSTRAINTS.read_text()
    assert faults(TEXT, pins) == []
    assert TEXT.count("using: :nounzip") == TEXT.count("  resource ") + 1 > 70
    other = re.sub(r"^mlx==\S+", "mlx==0.0.1", pins, flags=re.MULTILINE)
    assert any(said.startswith("mlx is ") for said in faults(TEXT, other))
    assert faults(TEXT.replace("qvq_mlx-", "qvq_mlx-9"), pins)


def test_a_release_fills_in_its_hash_alone(tmp_path: Path) -> None:
    wheel = tmp_path / "w.whl"
    wheel.write_bytes(b"wheel")
    found = released(TEXT, wheel)
    digest = hashlib.sha256(b"wheel").hexdigest()
    changed = [
        new for new, old in zip(found.splitlines(), TEXT.splitlines(), strict=True) if new != old
    ]
    assert changed == [f'  sha256 "{digest}"']


@pytest.mark.skipif(shutil.which("ruby") is None, reason="ruby is not here")
def test_it_is_ruby() -> None:
    subprocess.run(["ruby", "-c", FORMULA], check=True, capture_output=True)

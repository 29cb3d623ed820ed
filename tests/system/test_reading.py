"""One bounded reader: regular files, of a size, not deep, with finite numbers."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qvq_mlx.system.reading import (
    MAX_DEPTH,
    TooLargeError,
    parse_json,
    parse_toml,
    read_bytes,
    read_json,
    read_text,
    read_toml,
)

ROOT = Path(__file__).parents[2]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(alphabet=st.characters() | st.sampled_from('"\\[]{}#')),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
)


def test_a_file_is_read_whole_up_to_its_cap(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'{"a": 1}')
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_bytes(link, 8) == b'{"a": 1}'
    assert read_json(path, 8) == {"a": 1}
    with pytest.raises(TooLargeError, match=r"a.json has more than 7 bytes"):
        read_bytes(path, 7)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "to zero").symlink_to("/dev/zero")
    for path in (pipe, tmp_path / "to zero", tmp_path, tmp_path / "missing", Path("/dev/tty")):
        with pytest.raises(OSError):  # noqa: PT011
            read_bytes(path, 100)


def test_a_huge_file_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(3 * 2**30)  # sparse
    program = (
        "import resource, sys; from pathlib import Path; from qvq_mlx.system import reading\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "try: reading.read_json(Path(sys.argv[1]), 2**20)\n"
        "except reading.TooLargeError as error: print(error)\n"
    )
    argv = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "config.json has more than 1,048,576 bytes\n"
    assert resource.getpagesize()


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10**5])
@pytest.mark.parametrize(
    "shape", ["[%]", '{"a":%}', '[{"a":[%]}]', '["]", %]', '{"\\"]": %}'], ids=lambda shape: shape
)
def test_deep_json_is_an_error_and_no_crash(depth: int, shape: str) -> None:
    before, after = shape.split("%")
    for text in (before * depth + "1" + after * depth, before * depth):
        with pytest.raises(ValueError, match="nested"):
            parse_json(text)


def test_brackets_in_strings_are_no_depth() -> None:
    assert parse_json('["' + "[{" * 1000 + '"]') == ["[{" * 1000]
    assert parse_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert parse_json(json.dumps([[1], {"a": "]"}] * 1000)) == [[1], {"a": "]"}] * 1000


@settings(deadline=None)
@given(VALUES)
def test_every_json_that_is_not_deep_is_read_as_json_reads_it(value: object) -> None:
    text = json.dumps(value)
    assert parse_json(text) == parse_json(text.encode()) == json.loads(text)


@settings(deadline=None)
@given(st.text(alphabet='[]{}",:\\ 1eE.+-nulNaINfity\u2028é\ud800'))
def test_any_text_is_read_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_json(text)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400"])
def test_numbers_are_finite(number: str) -> None:
    with pytest.raises(ValueError, match="finite"):
        parse_json(f'{{"a": {number}}}')


def test_an_integer_of_a_million_digits_is_an_error() -> None:
    with pytest.raises(ValueError, match="digits"):
        parse_json("1" * 10**6)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 10**4 + "]" * 10**4,
        "a = " + "{a=" * 10**4,
        "a." * 10**5 + "a = 1",
        "a = {" + "a . " * 10**4 + "a = 1}",
        "[" + "a." * 10**5 + "a]",
        '["a"' + '."a"' * 10**4 + "]",
        "a = inf",
        "a = nan",
        "a = 1e999",
        "a = ",
    ],
    ids=lambda text: text[:8],
)
def test_hostile_toml_is_a_value_error(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError):  # noqa: PT011
        parse_toml(text)
    assert time.monotonic() - began < 5


def test_ordinary_toml_is_read(tmp_path: Path) -> None:
    text = (
        'model = "a.b.c" # [[[[\n"quoted.key" = \'[{\'\nmany = """\n[["""\nraw = \'\'\'{\'{\'\'\'\n'
        "[table.inner]\nnumbers = [1.5, 2, 1979-05-27]\n"
        + "".join(f"k{n} = {n}.5\n" for n in range(200))
    )
    path = tmp_path / "a.toml"
    path.write_text(text)
    assert read_toml(path, 2**16) == tomllib.loads(text)
    path.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="utf-8"):
        read_text(path, 10)


def test_the_check_of_the_depth_is_linear() -> None:
    def took(text: str) -> float:
        began = time.perf_counter()
        with pytest.raises(ValueError):  # noqa: PT011
            parse_json(text)
        return time.perf_counter() - began

    for unit in ('"\\', '["a",', '"a', '\\"[', '"' + "\\" * 99):
        assert took(unit * (2_000_000 // len(unit))) < 5

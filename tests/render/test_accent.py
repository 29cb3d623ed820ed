"""The accent can be read on dark and on light."""

from __future__ import annotations

import re

import pytest

from qvq_mlx.render.accent import accented

PALETTES = {  # https://en.wikipedia.org/wiki/ANSI_escape_code#Colors: red to cyan
    "xterm": ["cd0000", "00cd00", "cdcd00", "0000ee", "cd00cd", "00cdcd"],
    "Terminal.app": ["990000", "00a600", "999900", "0000b2", "b200b2", "00a6b2"],
    "VS Code": ["cd3131", "0dbc79", "e5e510", "2472c8", "bc3fbc", "11a8cd"],
}


def luminance(colour: str) -> float:
    """As WCAG 2 has it, from 0 to 1."""
    parts = [part / 255 for part in bytes.fromhex(colour)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("ground", ["000000", "ffffff"])
@pytest.mark.parametrize("palette", PALETTES)
def test_bold_text_stands_out(world, palette: str, ground: str) -> None:
    """3 is what WCAG 2 asks of bold text."""
    found = re.match(r"\x1b\[3([1-6])m\x1b\[1m", accented("model", world().env))
    assert found is not None
    assert contrast(PALETTES[palette][int(found[1]) - 1], ground) >= 3

"""Both themes can be read on the palettes of common terminals: their contrasts, computed."""

from __future__ import annotations

import itertools

import pytest

from ssm_cli.render.theme import ATTRIBUTES, DARK, LIGHT, THEMES, Theme

NAMES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
COLOURS = (*NAMES, *(f"bright_{name}" for name in NAMES))
PALETTES = {
    "xterm": "000000 cd0000 00cd00 cdcd00 0000ee cd00cd 00cdcd e5e5e5 "
    "7f7f7f ff0000 00ff00 ffff00 5c5cff ff00ff 00ffff ffffff",
    "console": "000000 aa0000 00aa00 aa5500 0000aa aa00aa 00aaaa aaaaaa "
    "555555 ff5555 55ff55 ffff55 5555ff ff55ff 55ffff ffffff",
    "tango": "2e3436 cc0000 4e9a06 c4a000 3465a4 75507b 06989a d3d7cf "
    "555753 ef2929 8ae234 fce94f 729fcf ad7fa8 34e2e2 eeeeec",
    "mac": "000000 990000 00a600 999900 0000b2 b200b2 00a6b2 bfbfbf "
    "666666 e50000 00d900 e5e500 0000ff e500e5 00e5e5 e5e5e5",
    "solarized": "073642 dc322f 859900 b58900 268bd2 d33682 2aa198 eee8d5 "
    "002b36 cb4b16 586e75 657b83 839496 6c71c4 93a1a1 fdf6e3",
}
GROUNDS: dict[Theme, dict[str, str]] = {
    "dark": {
        "xterm": "000000", "console": "000000", "tango": "2e3436", "mac": "000000",
        "solarized": "002b36",
    },
    "light": {
        "xterm": "ffffff", "console": "ffffff", "tango": "ffffff", "mac": "ffffff",
        "solarized": "fdf6e3",
    },
}  # fmt: skip
LEAST = 3.0  # what WCAG 2 asks of large text and of parts of an interface


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2, from 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def colours(look: str) -> list[str]:
    return [word for word in look.split() if word not in ATTRIBUTES]


@pytest.mark.parametrize(("theme", "palette"), [*itertools.product(THEMES, PALETTES)])
def test_every_role_can_be_read_in_the_palettes_of_common_terminals(
    theme: Theme, palette: str
) -> None:
    shown = dict(zip(COLOURS, PALETTES[palette].split(), strict=True))
    ground = GROUNDS[theme][palette]
    for role, look in THEMES[theme].items():
        for colour in colours(look):
            ratio = contrast(shown[colour], ground)
            assert ratio >= LEAST, f"{role} is {colour}, {ratio:.1f} to 1 on {ground}"


def test_the_themes_have_the_same_roles_and_named_colours_alone() -> None:
    assert DARK.keys() == LIGHT.keys()
    for look in (*DARK.values(), *LIGHT.values()):
        assert set(colours(look)) <= set(COLOURS)


def test_what_was_seen_to_vanish_would_be_found() -> None:
    solarized = dict(zip(COLOURS, PALETTES["solarized"].split(), strict=True))
    assert contrast(solarized["bright_black"], GROUNDS["dark"]["solarized"]) < 1.1
    xterm = dict(zip(COLOURS, PALETTES["xterm"].split(), strict=True))
    assert contrast(xterm["yellow"], "ffffff") < 2
    assert contrast(xterm["bright_white"], "ffffff") == 1

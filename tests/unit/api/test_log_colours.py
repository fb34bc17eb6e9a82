"""The colours of logs on the pages."""

import re
from pathlib import Path

import pytest

STYLE = (Path(__file__).parents[3] / "services/api/web/style.css").read_text()


def colours(name: str) -> list[tuple[str, str]]:
    """Return the pairs of a colour on a light and a dark page whose names match."""
    return re.findall(rf"{name}[ :{{a-z]*: light-dark\(#(\w+), #(\w+)\)", STYLE)


def brightness(colour: str) -> float:
    """Return the relative luminance, as WCAG defines it."""
    parts = (int(colour[place : place + 2], 16) / 255 for place in (0, 2, 4))
    red, green, blue = (each / 12.92 if each <= 0.03928 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_of_each_colour_of_a_log_can_be_read_on_each_other(theme: str) -> None:
    texts, grounds = colours(r"\.fg-\d") + colours("--ink"), colours(r"\.bg-\d") + colours("--raised")
    assert (len(texts), len(grounds)) == (8, 9)
    index = ["light", "dark"].index(theme)
    for text in texts:
        for ground in grounds:
            darker, lighter = sorted((brightness(text[index]), brightness(ground[index])))
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text[index], ground[index])

"""Curves as pictures: SVG without scripts, the same text for the same figures.

pygal is pure Python and draws SVG alone; matplotlib would bring numpy and 80 MB into every environment of a developer.
"""

import re
import sys
from math import ceil, floor, log10
from typing import Any

from tests.bench.report.rows import Curve

GREY = "#777c85"
"""Read on white and on black alike: a picture in a page does not know which of them the page has."""
LINES = ("#2f81f7", "#bb8009", "#2da44e", "#d1495b", "#8957e5")
WIDTH, HEIGHT = 640, 360
_STYLE = {
    "background": "transparent",
    "plot_background": "transparent",
    "foreground": GREY,
    "foreground_strong": GREY,
    "foreground_subtle": GREY,
    "guide_stroke_color": f"{GREY}66",
    "major_guide_stroke_color": f"{GREY}66",
    "colors": LINES,
    "font_family": "sans-serif",
    "title_font_size": 16,
    "label_font_size": 12,
    "major_label_font_size": 12,
    "legend_font_size": 12,
}
_UNWANTED = re.compile(r"<!--.*?-->|<script.*?</script>", re.DOTALL)
"""Comments tell the date; the script would show values under a pointer, but no picture in a page runs one."""


def draw(curve: Curve) -> str:
    """The text of an SVG file."""
    values = [value for line in curve.lines.values() for value in line]
    least, most = min(values), max(values)
    pygal = _library()
    chart = pygal.Line(
        style=pygal.style.Style(**_STYLE),
        js=[],
        width=WIDTH,
        height=HEIGHT,
        title=curve.title,
        x_title=curve.across,
        legend_at_bottom=True,
        logarithmic=curve.logarithmic,
        range=None if curve.logarithmic else (0, most),
        value_formatter=lambda value: f"{value:,.10g}",
        dots_size=3,
        disable_xml_declaration=True,
    )
    # By default random, and in every rule of its style.
    chart.uuid = curve.name
    chart.x_labels = list(curve.points)
    if curve.logarithmic:
        # By default every 2, 4, 6 and 8 of them has a label as well, one over the other.
        chart.y_labels = [10.0**power for power in range(floor(log10(least)), ceil(log10(most)) + 1)]
    for name, line in curve.lines.items():
        chart.add(name, list(line), stroke_style={"width": 2})
    return _UNWANTED.sub("", str(chart.render(is_unicode=True))) + "\n"


def _library() -> Any:
    """pygal, without what it leaves behind: a finder of a kind so old that every later import warns of it."""
    import pygal

    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)]
    return pygal

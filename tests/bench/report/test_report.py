"""Figures are kept by API server, and what is shown is made of them alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.report import figures
from tests.bench.report.figures import OWN, PAGE, REAL, Figures, page, picture, stored, table, write
from tests.bench.report.pictures import draw
from tests.bench.report.rows import Curve, Row
from tests.docs.marks import between

CURVE = Curve(name="c", title="T", across="x", points=["1", "2"], lines={"jobrelay": [10, 20], "before": [1, 200]})
BYTES = 40_000
"""At most, of each picture: whoever clones the repository gets them, too."""


def test_api_servers_stand_side_by_side_and_before_only_where_it_was_measured() -> None:
    own = Figures(rows=[Row(what="a", result="1", before="0", aim="2"), Row(what="b", result="3")])
    real = Figures(rows=[Row(what="b", result="4"), Row(what="c", result="5")])
    assert table({OWN: own, REAL: real}) == [
        "| what | own API server | own API server, before | a real one | aim |",
        "|---|---|---|---|---|",
        "| a | 1 | 0 |  | 2 |",
        "| b | 3 |  | 4 |  |",
        "| c |  |  | 5 |  |",
    ]


def test_a_curve_with_more_points_takes_the_place_of_that_with_its_name() -> None:
    found, other = Figures(), replace(CURVE, name="d")
    for curve in (replace(CURVE, points=["1"]), other, CURVE):
        found.add(curve)
    assert found.curves == [other, CURVE]


def test_a_run_without_a_real_api_server_keeps_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, text = tmp_path / "figures", tmp_path / "PAGE.md"
    place.mkdir()
    text.write_text("before\n<!-- bench: begin -->\n<!-- bench: end -->\nafter\n")
    monkeypatch.setattr(figures, "PLACE", place)
    monkeypatch.setattr(figures, "PAGE", text)
    real = Figures(machine="M1; 2026-01-01.", rows=[Row(what="a", result="1")], curves=[CURVE])
    write({OWN: Figures(rows=[Row(what="a", result="2")], curves=[CURVE]), REAL: real})
    write({OWN: Figures(machine="M2; 2026-01-02.", rows=[Row(what="a", result="3")])})
    assert stored()[REAL] == real
    assert "| a | 3 | 1 |  |" in text.read_text()
    assert "M1; 2026-01-01." in text.read_text()
    assert [path.name for path in place.glob("*.svg")] == ["real-c.svg"]


def test_the_page_and_its_pictures_show_the_stored_figures() -> None:
    known = stored()
    _, inside, _ = between(PAGE.read_text(), "bench", path=PAGE)
    assert inside == f"\n{page(known)}\n"
    drawn = {picture(server, curve): draw(curve) for server, found in known.items() for curve in found.curves}
    assert {path: path.read_text() for path in figures.PLACE.glob("*.svg")} == drawn


@pytest.mark.parametrize("logarithmic", [False, True])
def test_a_picture_is_the_same_for_the_same_figures_and_runs_nothing(logarithmic: bool) -> None:
    curve = Curve(name="c", title="T", across="x", points=["1", "2"], lines=CURVE.lines, logarithmic=logarithmic)
    text = draw(curve)
    assert text == draw(curve)
    assert len(text) <= BYTES
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org/", "")
    for shown in ("T", "x", "jobrelay", "before"):
        assert f">{shown}<" in text

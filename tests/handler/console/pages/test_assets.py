"""Files of the pages: small, kept for ever, never stale; and the switch between themes."""

import gzip
import re
from pathlib import Path

import pytest

from events.phases import Phase
from handler.console.pages.assets import assets
from tests.handler.console.asking import bare
from tests.handler.console.pages.looking import seen

MOST_BYTES, MOST_SCRIPT = 60_000, 10_000


def test_all_files_together_are_small() -> None:
    assert {"console.css", "console.js", "icon.svg"} <= set(assets())
    assert sum(len(asset.body) for asset in assets().values()) <= MOST_BYTES
    assert len(assets()["console.js"].body) <= MOST_SCRIPT


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_has_a_glyph_beside_its_word_that_is_not_read_out(phase: Phase) -> None:
    style = assets()["console.css"].body.decode()
    (content,) = re.findall(rf"\.phase-{phase}::before[^{{]*{{ ([^}}]*) }}", style)
    assert re.fullmatch(r'content: "(\S)"; content: "\1" / ""', content)


def test_the_style_sheet_loads_nothing() -> None:
    style = assets()["console.css"].body.decode()
    assert not re.search(r"url\(|@import|expression", style)


async def test_files_are_kept_for_ever_under_names_of_their_content(tmp_path: Path) -> None:
    async with bare(tmp_path, ui_base_path="/jobs") as (page, _):
        for name, asset in assets().items():
            path = f"/static/{asset.name}"
            answer = await page.get(path, headers={"Accept-Encoding": "gzip"}, auto_decompress=False)
            assert answer.status == 200, name
            assert "immutable" in answer.headers["Cache-Control"]
            assert answer.headers["Content-Type"].startswith(("text/", "image/svg+xml"))
            answer = await page.get(path, headers={"Accept-Encoding": "identity"})
            assert (await answer.text()).encode() == asset.body == gzip.decompress(asset.packed)
            answer = await page.get(path, headers={"If-None-Match": answer.headers["ETag"]})
            assert (answer.status, answer.headers["Cache-Control"].count("immutable")) == (304, 1)
        assert (await page.get("/static/console.0000000000.css")).status == 404


async def test_a_theme_stays_chosen_without_a_script(tmp_path: Path) -> None:
    async with bare(tmp_path, ui_base_path="/jobs") as (page, _):
        shown = await seen(page, "/nothing", status=404)
        assert "data-theme" not in shown.of("html")[0]
        dark = next(link for link in shown.links if "to=dark" in link)
        answer = await page.get(dark.removeprefix("/jobs"))
        assert (answer.status, answer.headers["Location"]) == (303, "/jobs/nothing")
        shown = await seen(page, "/nothing", status=404)
        assert shown.of("html")[0]["data-theme"] == "dark"
        for back in ("https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "x", "http:a"):
            answer = await page.get("/theme", params={"to": "light", "back": back})
            assert answer.headers["Location"] == "/jobs/", back

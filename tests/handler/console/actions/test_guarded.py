"""Whatever is posted, by a form or as JSON: not without proof, not by viewers, not where the page only shows."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from aiohttp import web

from events.cloudevent.event import encode_structured
from handler.console.actions.operations import OPERATIONS
from handler.console.http.operation import PREFIX
from handler.console.pages import acting, submit
from handler.history.base import Key, PodRun
from tests.handler.console.asking import Page, bare
from tests.handler.console.views.seen import seeing
from tests.handler.history.recording.records import a_life
from tests.handler.samples import make_request

TOKEN, VIEW = "operators-token-of-this-test", "viewers-token-of-this-test"
MOST = 1 << 20


def _paths() -> Iterator[tuple[str, bool]]:
    """Every path that is posted to, and whether it takes JSON."""
    for one in OPERATIONS:
        yield PREFIX + one.path.replace("{number}", "1").replace("{id}", "a%2Fb"), True
    for route in (*acting.routes(), *submit.routes()):
        assert isinstance(route, web.RouteDef)
        if route.method == "POST":
            yield route.path.replace(r"{number:\d{1,18}}", "1").replace("{id}", "a%2Fb"), False


PATHS = sorted(_paths())


async def _codes(
    page: Page, *, headers: dict[str, str], body: bytes = b"{}", **more: str
) -> set[tuple[int, str | None]]:
    """Status of every path, and the code where it is a problem for programs."""
    found = set()
    for path, is_json in PATHS:
        kind = "application/json" if is_json else "application/x-www-form-urlencoded"
        answer = await page.ask("POST", path, data=BytesIO(body), headers={"Content-Type": kind, **headers, **more})
        found.add((answer.status, (await answer.json(content_type=None))["code"] if is_json else None))
    return found


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "view").write_text(VIEW)
    return {
        "ui_auth": "token",
        "ui_token_file": str(tmp_path / "token"),
        "ui_view_token_file": str(tmp_path / "view"),
    }


async def test_a_viewer_may_post_nothing(tmp_path: Path, tokens: dict[str, str]) -> None:
    async with bare(tmp_path, **tokens) as (page, _):
        assert await _codes(page, headers={"Authorization": f"Bearer {VIEW}"}) == {(403, "FORBIDDEN"), (403, None)}
        nobody = await _codes(page, headers={"Sec-Fetch-Site": "same-origin"})
        assert {status for status, _ in nobody} <= {401, 403, 303}


async def test_nothing_is_posted_without_proof_that_the_page_did(tmp_path: Path) -> None:
    async with bare(tmp_path) as (page, _):
        for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil"}):
            assert await _codes(page, headers=headers) == {(403, "FORGED"), (403, None)}


async def test_nothing_is_posted_where_the_page_only_shows(tmp_path: Path, tokens: dict[str, str]) -> None:
    async with bare(tmp_path, ui_read_only="on", **tokens) as (page, _):
        assert await _codes(page, headers={"Authorization": f"Bearer {TOKEN}"}) == {(403, "READ_ONLY"), (403, None)}


async def test_no_body_is_larger_than_the_limit(tmp_path: Path, tokens: dict[str, str]) -> None:
    async with bare(tmp_path, **tokens) as (page, _):
        headers = {"Authorization": f"Bearer {TOKEN}", "Expect": "100-continue"}
        found = await _codes(page, headers=headers, body=b"x" * (MOST + 1))
        assert found == {(413, "TOO_LARGE"), (413, None)}


async def test_only_those_who_may_act_see_what_a_request_was_asked_with(tmp_path: Path, tokens: dict[str, str]) -> None:
    asked = encode_structured(make_request("r", job={"env": [{"name": "A", "value": "hush"}]}))
    async with bare(tmp_path, **tokens) as (page, backend), seeing(backend.cluster, *a_life("r")) as (seen, writer):
        await writer.keep_pod(
            Key("r", "cause-r", "/shop"), PodRun(uid="u", name="p", namespace="jobs"), created=1e9, asked=asked
        )
        backend.opened(seen.reader, None)
        looked = 0
        for token, shown in ((TOKEN, True), (VIEW, False)):
            for path in ("/submit?again=1", "/submit?again=1&as=document", "/requests/1", f"{PREFIX}/requests/1"):
                answer = await page.get(path, headers={"Authorization": f"Bearer {token}"})
                looked += answer.status == 200
                assert ("hush" in await answer.text()) == (shown and "again" in path), path
        assert looked == 6

"""Nothing is done for who may not act, and nothing that another site has sent: whatever the action is."""

import re
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, FormData, web

from handler.console.actions import routes as actions
from handler.console.pages import routes as pages
from tests.handler.console.asking import Page, bare
from tests.handler.console.security.test_doors import PROXY, TOKEN, VIEW, tokens

DONE: list[str] = []


async def _act(request: web.Request) -> web.Response:
    DONE.append(request.path)
    return web.json_response({})


ACTS = web.post("/api/v1/act", _act), web.post("/act", _act), web.delete("/api/v1/act", _act)


async def code(answer: ClientResponse) -> tuple[int, str]:
    if answer.content_type == "application/problem+json":
        return answer.status, (await answer.json(content_type=None))["code"]
    text = await answer.text()
    return answer.status, text.partition("<code>")[2].partition("</code>")[0] if answer.status >= 400 else ""


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    DONE.clear()


async def test_what_the_page_itself_sends_is_done(tmp_path: Path) -> None:
    async with bare(tmp_path, *ACTS) as (page, _):
        token = await page.token()
        assert (await page.post("/api/v1/act", json={})).status == 200
        form = {"token": token, "x": "1"}
        answer = await page.ask("POST", "/act", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status == 200
        # Older browsers say only this.
        assert (await page.ask("POST", "/act", data=form, headers={"Origin": page.url})).status == 200
        assert (await page.ask("POST", "/act", data=form, headers={"Sec-Fetch-Site": "none"})).status == 200
        assert len(DONE) == 4


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "http://evil[::1]"},
        {"Origin": "{url}/"},
        # What the browser says of itself counts more than the address.
        {"Sec-Fetch-Site": "cross-site", "Origin": "{url}"},
    ],
)
async def test_what_another_site_sends_is_not_even_with_the_token(tmp_path: Path, headers: dict[str, str]) -> None:
    async with bare(tmp_path, *ACTS) as (page, _):
        sent = {name: value.format(url=page.url) for name, value in headers.items()}
        sent["X-CSRF-Token"] = await page.token()
        assert await code(await page.ask("POST", "/api/v1/act", json={}, headers=sent)) == (403, "FORGED")
        assert await code(await page.ask("DELETE", "/api/v1/act", headers=sent)) == (403, "FORGED")
        assert DONE == []


async def test_nothing_is_done_without_the_token_of_this_session(tmp_path: Path) -> None:
    headers = {"Sec-Fetch-Site": "same-origin"}
    async with bare(tmp_path, *ACTS) as (page, _), bare(tmp_path, *ACTS) as (other, _):
        foreign, own = await other.token(), await page.token()
        for wrong in ("", foreign, own[:-1], own + "x", "ä"):
            answer = await page.ask("POST", "/act", data=FormData({"token": wrong}), headers=headers)
            assert await code(answer) == (403, "FORGED")
            if wrong.isascii():
                sent = {**headers, "X-CSRF-Token": wrong}
                assert await code(await page.ask("POST", "/api/v1/act", json={}, headers=sent)) == (403, "FORGED")
        assert await code(await page.ask("POST", "/api/v1/act", json={"token": own}, headers=headers)) == (
            403,
            "FORGED",
        )
        page.session.cookie_jar.clear()
        sent = {**headers, "X-CSRF-Token": own}
        assert await code(await page.ask("POST", "/api/v1/act", json={}, headers=sent)) == (403, "FORGED")
        assert DONE == []


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_programs_send_json_and_nothing_else(tmp_path: Path, kind: str) -> None:
    async with bare(tmp_path, *ACTS) as (page, _):
        answer = await page.post("/api/v1/act", data="{}", headers={"Content-Type": kind})
        assert await code(answer) == (415, "UNSUPPORTED_MEDIA_TYPE")
        assert DONE == []


def posted() -> list[str]:
    """The path of every action there is."""
    routes = [route for route in (*actions.routes(), *pages.routes()) if route.method not in ("GET", "HEAD")]
    return sorted({re.sub(r"\{\w+(:[^/]*)?\}", "1", route.path) for route in routes})


async def refused(page: Page, **options: Any) -> set[tuple[int, str]]:
    paths = posted()
    assert "/api/v1/requests/1/cancel" in paths
    return {await code(await page.ask("POST", path, **options)) for path in paths}


async def test_no_action_is_for_viewers(tmp_path: Path) -> None:
    async with bare(tmp_path, **tokens(tmp_path)) as (page, _):
        assert await refused(page, headers={"Authorization": f"Bearer {VIEW}"}) == {(403, "FORBIDDEN")}


async def test_no_action_is_for_anybody_where_all_only_look(tmp_path: Path) -> None:
    async with bare(tmp_path, **tokens(tmp_path), ui_read_only="on") as (page, _):
        assert await refused(page, headers={"Authorization": f"Bearer {TOKEN}"}) == {(403, "READ_ONLY")}


async def test_no_action_is_without_the_token(tmp_path: Path) -> None:
    async with bare(tmp_path) as (page, _):
        await page.token()
        assert await refused(page, headers={"Sec-Fetch-Site": "same-origin"}) == {(403, "FORGED")}
        assert await refused(page, headers={"Sec-Fetch-Site": "cross-site", "X-CSRF-Token": await page.token()}) == {
            (403, "FORGED")
        }


async def test_no_action_is_without_a_login(tmp_path: Path) -> None:
    async with bare(tmp_path, **tokens(tmp_path)) as (page, _):
        assert await refused(page) == {(401, "UNAUTHENTICATED")}


async def test_viewers_of_a_proxy_only_look(tmp_path: Path) -> None:
    async with bare(tmp_path, *ACTS, **PROXY, ui_operators=("ops",), ui_viewers=("staff",)) as (page, _):
        person = Page(page.serving, page.session, name="bob")
        for group, expected in (("staff", (403, "FORBIDDEN")), ("ops", (200, ""))):
            named = {"X-Forwarded-User": "bob", "X-Forwarded-Groups": group}
            await page.get("/theme", headers=named)
            assert await code(await person.post("/api/v1/act", json={}, headers=named)) == expected
        # The token is of this person, whoever else has the browser's session.
        eve = {"X-Forwarded-User": "eve", "X-Forwarded-Groups": "ops"}
        assert await code(await person.post("/api/v1/act", json={}, headers=eve)) == (403, "FORGED")

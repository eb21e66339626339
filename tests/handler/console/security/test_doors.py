"""Who gets in, and as whom: without a login, with a token, and through a proxy."""

import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from handler.console.http.keys import FORM_TOKEN, PERSON
from tests.handler.console.asking import Page, bare

TOKEN, VIEW = "operator-0123456789abcdef", "viewer-0123456789abcdef"


async def _who(request: web.Request) -> web.Response:
    person = request[PERSON]
    told = {"name": person.name, "operator": person.operator, "token": request[FORM_TOKEN], "ends": person.ends}
    return web.json_response(told)


WHO = web.get("/who", _who), web.get("/api/v1/who", _who)
PROXY: dict[str, Any] = {"ui_auth": "proxy", "ui_trusted_proxies": ("127.0.0.0/8",)}


def tokens(directory: Path) -> dict[str, Any]:
    (directory / "token").write_text(f"{TOKEN}\n")
    (directory / "view").write_text(f"{VIEW}\n")
    return {"ui_auth": "token", "ui_token_file": directory / "token", "ui_view_token_file": directory / "view"}


async def who(page: Page, path: str = "/who", **headers: str) -> Any:
    answer = await page.get(path, headers=headers)
    if answer.status != 200:
        return answer.status
    told = await answer.json()
    return told["name"], told["operator"]


async def log_in(page: Page, secret: str, back: str = "/who") -> tuple[int, str | None]:
    await page.get("/login")
    form = {"secret": secret, "back": back}
    answer = await Page(page.serving, page.session, name="").post("/login", data=form)
    return answer.status, answer.headers.get("Location")


async def test_without_a_login_only_names_of_this_machine_are_served(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO) as (page, _):
        assert await who(page) == ("local", True)
        assert await who(page, Host="localhost:1") == ("local", True)
        for other in (
            "evil.example",
            "evil.example:8081",
            "127.0.0.1.evil.example",
            "[::",
            "a b",
            "",
            "localhost@evil",
        ):
            assert await who(page, Host=other) in (400, 403)


async def test_a_token_in_the_header_says_who_asks(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path)) as (page, _):
        assert await who(page, Authorization=f"Bearer {TOKEN}") == ("operator", True)
        assert await who(page, Authorization=f"bearer {VIEW}") == ("viewer", False)
        assert await who(page, Authorization="Basic dXNlcjpwYXNz") == 303
        answer = await page.get("/api/v1/who")
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        answer = await page.get("/who?a=b")
        assert (answer.status, answer.headers["Location"]) == (303, "/login?back=/who?a%3Db")
        # What was wrong is counted, and after five times what is right waits, too.
        for _ in range(5):
            assert await who(page, Authorization=f"Bearer {TOKEN}x") == 401
        answer = await page.get("/api/v1/who", headers={"Authorization": f"Bearer {TOKEN}"})
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (429, "TOO_MANY_TRIES")
        assert 0 < int(answer.headers["Retry-After"]) <= 61


async def test_who_logs_in_has_a_session_until_they_log_out(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path)) as (page, _):
        assert await log_in(page, VIEW) == (303, "/who")
        assert await who(page) == ("viewer", False)
        (cookie,) = page.session.cookie_jar
        assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/")
        assert cookie["max-age"] == str(12 * 3600)
        former = {cookie.key: cookie.value}
        viewer = Page(page.serving, page.session, name="viewer")
        answer = await viewer.post("/logout", data={})
        assert (answer.status, answer.headers["Location"]) == (303, "/login")
        assert await who(page) == 303
        # Whoever has kept the cookie has nothing of it.
        page.session.cookie_jar.clear()
        assert (await page.get("/who", cookies=former)).status == 303


async def test_log_out_is_shown_where_there_is_something_to_log_out_of(tmp_path: Path) -> None:
    named = {"X-Forwarded-User": "ada"}
    proxy = {**PROXY, "ui_operators": ("user:*",)}
    for settings, headers, there in (({}, {}, False), (proxy, named, False), (tokens(tmp_path), {}, True)):
        async with bare(tmp_path, **settings) as (page, _):
            if there:
                await log_in(page, TOKEN)
            text = await (await page.get("/nothing", headers=headers)).text()
            assert "There is nothing at this address" in text
            assert ("Log out" in text) == there


async def test_wrong_tokens_are_said_to_be_wrong_and_then_to_be_too_many(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path), ui_login_tries=3) as (page, _):
        assert [(await log_in(page, "wrong"))[0] for _ in range(4)] == [401] * 3 + [429]
        assert (await log_in(page, TOKEN))[0] == 429
        assert await who(page, Authorization=f"Bearer {TOKEN}") == ("operator", True)


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "evil", "/a\nb", ""])
async def test_a_login_leads_nowhere_else(tmp_path: Path, back: str) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path), ui_base_path="/jobs") as (page, _):
        assert await log_in(page, TOKEN, back) == (303, "/jobs/")


async def test_a_session_lasts_as_long_as_is_set(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path), ui_session_hours=1) as (page, _):
        await log_in(page, TOKEN)
        (cookie,) = page.session.cookie_jar
        assert cookie["max-age"] == "3600"
        told = await (await page.get("/who")).json()
        assert 3590 < told["ends"] - time.time() <= 3600


async def test_another_token_in_the_file_ends_the_sessions_of_the_former(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.console.security.files._LOOK_SECONDS", 0.0)
    async with bare(tmp_path, *WHO, **tokens(tmp_path)) as (page, _):
        await log_in(page, TOKEN)
        assert await who(page) == ("operator", True)
        (tmp_path / "token").write_text(f"{TOKEN}-new\n")
        assert await who(page) == 303
        await log_in(page, f"{TOKEN}-new")
        assert await who(page) == ("operator", True)


async def test_sessions_are_bound_to_the_key_and_cannot_be_made_up(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    shared: dict[str, Any] = {**tokens(tmp_path), "ui_secret_file": tmp_path / "key"}
    async with bare(tmp_path, *WHO, **shared) as (one, _), bare(tmp_path, *WHO, **shared) as (other, _):
        await log_in(one, TOKEN)
        (cookie,) = one.session.cookie_jar
        name = f"jobrelay_session_{other.url.rpartition(':')[2]}"
        assert (await other.get("/who", cookies={name: cookie.value})).status == 200
        parts = cookie.value.split(".")
        later = ".".join([parts[0], str(int(parts[1]) + 1), *parts[2:]])
        for forged in (later, cookie.value[:-1], "", "....", "a.b.c.d", f"{parts[0]}.x.{parts[2]}.{parts[3]}"):
            other.session.cookie_jar.clear()
            assert (await other.get("/who", cookies={name: forged})).status == 303


async def test_a_link_from_another_site_replaces_no_session(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO, **tokens(tmp_path)) as (page, _):
        answer = await page.get("/who", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200
        assert 'http-equiv="refresh"' in await answer.text()
        assert "Set-Cookie" not in answer.headers


async def test_whoever_seems_to_be_new_keeps_their_login(tmp_path: Path) -> None:
    """A browser that does not say where a link was, as over plain HTTP, and keeps its cookies back."""
    async with bare(tmp_path, *WHO, **tokens(tmp_path)) as (page, _):
        await log_in(page, TOKEN)
        login = {cookie.key: cookie.value for cookie in page.session.cookie_jar}
        assert len(login) == 1
        page.session.cookie_jar.clear()
        answer = await page.get("/who")
        assert answer.headers["Location"].startswith("/login")
        assert (await page.get("/login")).cookies
        page.session.cookie_jar.update_cookies(login, URL(page.url))
        # The page has both cookies now: that of the login is in force.
        assert len([*page.session.cookie_jar]) == 2
        assert await who(page) == ("operator", True)
        # Also where the form is sent that was shown meanwhile.
        form = {"secret": TOKEN, "back": "/who", "token": "of another session"}
        answer = await page.ask("POST", "/login", data=form, headers={"Sec-Fetch-Site": "same-origin"})
        assert (answer.status, answer.headers["Location"]) == (303, "/who")
        assert not answer.cookies
        operator = Page(page.serving, page.session, name="operator")
        assert (await operator.post("/logout", data={})).status == 303
        assert [cookie.key.split("_")[1] for cookie in page.session.cookie_jar] == ["visit"]
        assert await who(page) == 303


async def test_a_proxy_says_who_asks_and_groups_what_they_may(tmp_path: Path) -> None:
    chosen = {**PROXY, "ui_operators": ("ops-*", "user:ada@*"), "ui_viewers": ("staff",)}

    async def seen(**headers: str) -> Any:
        return await who(page, **{f"X-Forwarded-{name}": text for name, text in headers.items()})

    async with bare(tmp_path, *WHO, **chosen) as (page, _):
        assert await seen(User="bob", Groups="staff, ops-eu") == ("bob", True)
        assert await seen(User="ada@example") == ("ada@example", True)
        assert await seen(User="bob", Groups="staff") == ("bob", False)
        assert await seen(User="bob", Groups="guests") == await seen(User="ops-eu") == await seen(Groups="staff") == 403
        # A group cannot be called so that it passes for a user.
        assert await seen(User="eve", Groups="user:ada@example") == 403
        name, _ = await seen(User="eve\u202e" + "x" * 500, Groups="staff")
        assert name.startswith(r"eve\u202e")
        assert len(name) == 200
        answer = await page.get("/who", headers=[("X-Forwarded-User", "ada@x"), ("X-Forwarded-User", "bob")])
        assert answer.status == 403


async def test_what_comes_past_the_proxy_is_refused(tmp_path: Path) -> None:
    chosen = {**PROXY, "ui_trusted_proxies": ("10.0.0.0/8",), "ui_operators": ("*",)}
    async with bare(tmp_path, *WHO, **chosen) as (page, _):
        headers = {"X-Forwarded-User": "eve", "X-Forwarded-Groups": "ops", "X-Forwarded-For": "10.0.0.1"}
        answer = await page.get("/api/v1/who", headers=headers)
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (403, "UNTRUSTED_PROXY")


async def test_browsers_that_speak_https_keep_the_cookie_for_that(tmp_path: Path) -> None:
    async with bare(tmp_path, *WHO) as (page, _):
        answer = await page.get("/who", headers={"X-Forwarded-Proto": "https"})
        assert "; Secure" in answer.headers["Set-Cookie"]

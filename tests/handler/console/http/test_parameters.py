"""What is asked for is checked as a whole: each mistake is named, with the nearest name, and no value is repeated."""

import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from aiohttp import ClientResponse, web
from pydantic import Field

from handler.console.http.forms import form_of
from handler.console.http.parameters import body_of, query_of
from handler.console.views.models import Model
from tests.handler.console.asking import bare

SECRET = "hunter2"
FORM = "application/x-www-form-urlencoded"


class Asked(Model):
    limit: int = Field(50, ge=1, le=200)
    phase: list[Literal["failed", "started"]] = Field(default_factory=list)
    service: str | None = None
    newer_than: float | None = None


async def _query(request: web.Request) -> web.Response:
    return web.json_response(query_of(request, Asked).model_dump())


async def _body(request: web.Request) -> web.Response:
    return web.json_response((await body_of(request, Asked)).model_dump())


async def _form(request: web.Request) -> web.Response:
    form = await form_of(request)
    again = await form_of(request)
    return web.json_response({"one": form.one("one"), "all": again.all("number"), "names": form.names})


ROUTES = web.get("/api/v1/asked", _query), web.post("/api/v1/asked", _body), web.post("/form", _form)


async def problem(answer: ClientResponse) -> tuple[int, str, dict[str, Any]]:
    body = await answer.json(content_type=None)
    assert SECRET not in str(body)
    return answer.status, body["code"], {error["path"]: error["message"] for error in body.get("errors", ())}


async def shown(answer: ClientResponse, status: int, *words: str) -> None:
    text = await answer.text()
    assert (answer.status, answer.content_type) == (status, "text/html")
    assert [word for word in words if word not in text] == []


async def test_parameters_are_read_by_their_names_and_empty_ones_are_not_given(tmp_path: Path) -> None:
    async with bare(tmp_path, *ROUTES) as (page, _):
        answer = await page.get("/api/v1/asked?limit=7&phase=failed&phase=started&service=&newerThan=1.5")
        assert await answer.json() == {
            "limit": 7,
            "phase": ["failed", "started"],
            "service": None,
            "newer_than": 1.5,
        }


async def test_all_mistakes_are_named_at_once(tmp_path: Path) -> None:
    async with bare(tmp_path, *ROUTES) as (page, _):
        query = f"limit=0&phase={SECRET}&servise={SECRET}&newerThan={SECRET}"
        assert await problem(await page.get(f"/api/v1/asked?{query}")) == (
            400,
            "INVALID_PARAMETERS",
            {
                "servise": "there is no such name; did you mean service?",
                "limit": "Input should be greater than or equal to 1",
                "phase.0": "Input should be 'failed' or 'started'",
                "newerThan": "Input should be a valid number, unable to parse string as a number",
            },
        )
        _, _, errors = await problem(await page.get(f"/api/v1/asked?limit=1&limit=2&service=a%00&{'x' * 300}=1"))
        assert errors["limit"] == "given more than once"
        assert errors["service"] == "too long, or with a NUL character"
        assert all(len(name) < 100 for name in errors)


async def test_bodies_are_checked_alike(tmp_path: Path) -> None:
    async with bare(tmp_path, *ROUTES) as (page, _):

        async def post(**options: Any) -> ClientResponse:
            return await page.post("/api/v1/asked", **options)

        assert (await (await post(json={"limit": 3})).json())["limit"] == 3
        assert await problem(await post(json={"limit": SECRET, "servise": SECRET})) == (
            400,
            "INVALID_PARAMETERS",
            {
                "limit": "Input should be a valid integer, unable to parse string as an integer",
                "servise": "there is no such name; did you mean service?",
            },
        )
        json = {"Content-Type": "application/json"}
        assert await problem(await post(data="[]", headers=json)) == (400, "INVALID_PARAMETERS", {})
        assert await problem(await post(data=f'{{"a": {SECRET}', headers=json)) == (400, "INVALID_JSON", {})
        assert await problem(await post(data="{}")) == (415, "UNSUPPORTED_MEDIA_TYPE", {})
        packed = {**json, "Content-Encoding": "gzip"}
        assert await problem(await post(data="{}", headers=packed)) == (415, "UNSUPPORTED_MEDIA_TYPE", {})
        assert await problem(await post(data=" " * (1 << 20), headers=json)) == (400, "INVALID_JSON", {})


@pytest.mark.parametrize("size", [None, (1 << 20) + 1])
async def test_a_body_above_the_limit_is_refused(tmp_path: Path, size: int | None) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(65):
            yield b" " * (16 << 10)

    def large() -> Any:
        # Where it says how large it is, nothing of it need come.
        return pieces() if size is None else io.BytesIO(b" " * size)

    async with bare(tmp_path, *ROUTES) as (page, _):
        answer = await page.post("/api/v1/asked", data=large(), headers={"Content-Type": "application/json"})
        assert await problem(answer) == (413, "TOO_LARGE", {})
        await shown(await page.post("/form", data=large(), headers={"Content-Type": FORM}), 413, "TOO_LARGE")


async def test_forms(tmp_path: Path) -> None:
    async with bare(tmp_path, *ROUTES) as (page, _):

        async def post(data: str, kind: str = FORM) -> ClientResponse:
            return await page.post("/form", data=data, headers={"Content-Type": kind})

        answer = await post("one=a%0D%0Ab&number=1&number=2&none=")
        assert await answer.json() == {"one": "a\nb", "all": ["1", "2"], "names": ["one", "number", "none"]}
        await shown(await post("one=1&one=2"), 400, "one", "given more than once")
        for broken in ("one=%ff", "one=%00", "&".join(f"a{number}=" for number in range(3000))):
            await shown(await post(broken), 400, "BROKEN_BODY")
        await shown(await post("one=1", "multipart/form-data; boundary=x"), 415, "UNSUPPORTED_MEDIA_TYPE")

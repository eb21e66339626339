"""What holds for every answer of the page."""

import gzip
import logging
from pathlib import Path

import pytest
from aiohttp import web

from adapters.base import BrokerUnavailable, Kind, Topic, TopicRefused
from adapters.memory import MemoryBroker
from handler.console.serving.headers import CONTENT_POLICY
from handler.history.base import BadCursor, StoreUnavailable
from k8s.api.cluster import Cluster
from k8s.base import Unavailable
from tests.handler.console.asking import bare
from tests.handler.console.served import served

SECRET = "hunter2"


def failing(error: Exception) -> web.RouteDef:
    async def fail(_: web.Request) -> web.Response:
        raise error

    return web.get(f"/api/v1/{type(error).__name__}", fail)


async def _large(_: web.Request) -> web.Response:
    return web.json_response({"text": "x" * 100_000})


async def test_what_is_not_there_is_a_problem_for_programs_and_a_page_for_people(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with served(broker, cluster) as page:
        answer = await page.get("/api/v1/nothing")
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
        assert (await answer.json(content_type=None))["code"] == "NOT_FOUND"
        answer = await page.get("/nothing")
        assert (answer.status, answer.content_type) == (404, "text/html")
        answer = await page.ask("HEAD", "/")
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert page.state.report()["page"] == f"{page.url}/"
        answer = await page.ask("DELETE", "/")
        assert (answer.status, set(answer.headers["Allow"].split(","))) == (405, {"GET", "HEAD"})


async def test_whatever_is_away_is_said_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    errors = {
        StoreUnavailable("locked"): (503, "HISTORY_UNAVAILABLE"),
        BrokerUnavailable("gone"): (503, "BROKER_UNAVAILABLE"),
        Unavailable("timeout"): (503, "CLUSTER_UNAVAILABLE"),
        BadCursor("no"): (400, "BAD_CURSOR"),
        TopicRefused(Topic(Kind.REQUESTS), "no"): (422, "TOPIC_REFUSED"),
        ValueError(SECRET): (500, "INTERNAL"),
    }
    detail = ""
    async with bare(tmp_path, *map(failing, errors)) as (page, _):
        for error, expected in errors.items():
            answer = await page.get(f"/api/v1/{type(error).__name__}")
            body = await answer.json(content_type=None)
            assert (answer.status, body["code"]) == expected
            assert ("Retry-After" in answer.headers) is (answer.status == 503)
            assert SECRET not in str(body)
            detail = body["detail"]
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert detail.split()[-1].rstrip(".") in record.getMessage()


async def test_every_answer_tells_browsers_to_load_nothing_and_to_keep_nothing(tmp_path: Path) -> None:
    async with bare(tmp_path, failing(ValueError())) as (page, _):
        for path in ("/nothing", "/theme", "/api/v1/ValueError", "/api/v1/stream"):
            headers = (await page.get(path)).headers
            assert headers["Content-Security-Policy"] == CONTENT_POLICY
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Frame-Options"] == "DENY"
            assert "Server" not in headers


async def test_everything_is_below_the_base_path(tmp_path: Path) -> None:
    async with bare(tmp_path, web.get("/large", _large), ui_base_path="/jobs") as (page, _):
        assert page.url.endswith("/jobs")
        assert (await page.get("/large")).status == 200
        answer = await page.get("")
        assert (answer.status, answer.headers["Location"]) == (308, "/jobs/")
        root = page.url.removesuffix("/jobs")
        async with page.session.get(f"{root}/large") as elsewhere:
            assert elsewhere.status == 404


async def test_answers_are_compressed_for_who_reads_that(tmp_path: Path) -> None:
    async with bare(tmp_path, web.get("/api/v1/large", _large)) as (page, _):
        async with page.session.get(
            f"{page.url}/api/v1/large", headers={"Accept-Encoding": "gzip"}, auto_decompress=False
        ) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            assert "Accept-Encoding" in answer.headers["Vary"]
            packed = await answer.read()
            assert len(packed) < 2000
            assert gzip.decompress(packed).startswith(b'{"text": "xxx')
        plain = await page.get("/api/v1/large", headers={"Accept-Encoding": "identity"})
        assert "Content-Encoding" not in plain.headers


async def test_what_is_asked_is_counted(tmp_path: Path) -> None:
    async with bare(tmp_path, web.get("/api/v1/large", _large), failing(ValueError())) as (page, backend):
        for path in ("/api/v1/large", "/api/v1/ValueError", "/nothing", "/theme"):
            await page.get(path)
        value = backend.metrics.registry.get_sample_value
        counted = {
            (part, status): value("jobrelay_page_requests_total", {"part": part, "status": status})
            for part, status in (("api", "2xx"), ("api", "5xx"), ("page", "4xx"), ("page", "3xx"))
        }
        assert set(counted.values()) == {1.0}
        assert value("jobrelay_page_seconds_count") == 4

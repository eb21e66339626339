"""The OpenAPI document: valid, and about everything that is served."""

from typing import Any

import pytest

from adapters.memory import MemoryBroker
from handler.console.api.document import document
from handler.console.api.routes import EVERYTHING
from k8s.api.cluster import Cluster
from tests.handler.console.served import served

READ = {
    *("/requests", "/requests/{number}", "/requests/{number}/events", "/requests/{number}/pods"),
    *("/requests/{number}/logs", "/queue", "/schedules", "/dead", "/dead/{number}", "/stats", "/audit", "/me"),
    "/actions/{eventId}",
    *("/openapi.json", "/stream", "/requests/{number}/stream", "/requests/{number}/logs/stream"),
}


@pytest.mark.parametrize("auth", ["none", "token", "proxy"])
def test_it_is_valid(auth: str) -> None:
    made = document(EVERYTHING, base="/jobs", auth=auth, cookie="session")
    # Not when tests are collected, which each process does: it takes a second.
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert not list(OpenAPIV31SpecValidator(made).iter_errors())
    assert made["servers"] == [{"url": "/jobs/api/v1"}]
    assert bool(made["security"]) == (auth == "token")


def test_it_is_about_everything() -> None:
    made = document(EVERYTHING, base="", auth="none", cookie="session")
    assert {path for path, methods in made["paths"].items() if "get" in methods} == READ
    names = [one["operationId"] for methods in made["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names)) == len(EVERYTHING)


def test_parameters_are_described_as_they_are_read() -> None:
    made = document(EVERYTHING, base="", auth="none", cookie="session")
    found: dict[str, Any] = {one["name"]: one for one in made["paths"]["/requests"]["get"]["parameters"]}
    assert found["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
    assert found["phase"]["schema"]["items"] == {"$ref": "#/components/schemas/Phase"}
    assert "null" not in str(list(found.values()))
    assert not any(one["required"] for one in found.values())
    assert "RequestsQuery" not in made["components"]["schemas"]


def test_a_body_is_required_where_there_is_nothing_to_do_without_it() -> None:
    made = document(EVERYTHING, base="", auth="none", cookie="session")
    posts = {
        path: methods["post"]["requestBody"]["required"] for path, methods in made["paths"].items() if "post" in methods
    }
    assert {path for path, required in posts.items() if required} == {"/requests", "/actions"}


async def test_it_is_served(broker: MemoryBroker, cluster: Cluster) -> None:
    async with served(broker, cluster) as page:
        answer = await page.get("/api/v1/openapi.json")
        assert await answer.json() == document(EVERYTHING, base="", auth="none", cookie="session")
        assert (await page.ask("HEAD", "/api/v1/requests")).status == 200

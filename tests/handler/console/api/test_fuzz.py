"""Whatever is asked of the JSON API: no answer is a 500, and every one is as the document says."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from adapters.memory import MemoryBroker
from handler.console.http.operation import EVENTS
from handler.console.security.forgery import HEADER
from k8s.api.cluster import Cluster
from tests.handler.console.actions.acting import site
from tests.handler.samples import make_request
from tests.long import LONG

if TYPE_CHECKING:
    from schemathesis import Case

EXAMPLES = 50 if LONG else 3
"""Of each operation; and as many that are wrong on purpose."""
SECONDS = 30
_SETTINGS: dict[str, Any] = {
    "max_examples": EXAMPLES,
    "deadline": None,
    "database": None,
    "derandomize": not LONG,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}


# The server in this process uses the global random numbers meanwhile, which hypothesis takes for ours.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.stricter
async def test_no_answer_is_other_than_the_document_says(broker: MemoryBroker, cluster: Cluster) -> None:
    async with site(broker, cluster) as here:
        await here.client.publish(make_request("r", script="exit 3"))
        await here.recorded("r", "failed")
        document: Any = await (await here.page.get("/api/v1/openapi.json")).json()
        # A stream has no end, which nobody waits for here.
        document["paths"] = {path: found for path, found in document["paths"].items() if EVENTS not in str(found)}
        headers = {HEADER: await here.page.token(), "Sec-Fetch-Site": "same-origin"}
        headers["Cookie"] = "; ".join(f"{one.key}={one.value}" for one in here.page.session.cookie_jar)
        await asyncio.to_thread(fuzz, document, f"{here.page.url}/api/v1", headers)
        assert (await here.page.get("/api/v1/requests")).status == 200


def fuzz(document: dict[str, Any], url: str, headers: Mapping[str, str]) -> None:
    """Ask every operation. Raises for the first answer that is wrong, with the question for it."""
    # Not when tests are collected, which each process does: it takes seconds.
    import schemathesis
    from schemathesis.core.result import Ok
    from schemathesis.generation import GenerationMode
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    schema.config.checks.not_a_server_error.expected_statuses = ["2xx", "3xx", "4xx", "503"]
    statuses = Counter[tuple[str, int]]()

    def ask(case: "Case[Any]") -> None:
        # What a form leaves empty counts as not given.
        assume("" not in case.query.values())
        if isinstance(number := case.path_parameters.get("number"), int):
            case.path_parameters["number"] = number % 3
        # What is right by its form may still mean nothing: a page token that was never given out.
        answer = case.call_and_validate(
            timeout=SECONDS, headers=dict(headers), excluded_checks=[positive_data_acceptance]
        )
        statuses[case.method, answer.status_code] += 1

    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        one = document["paths"][found.ok().path][found.ok().method]
        modes = list(GenerationMode) if one["parameters"] or "requestBody" in one else [GenerationMode.POSITIVE]
        for mode in modes:
            settings(**_SETTINGS)(given(case=found.ok().as_strategy(generation_mode=mode))(ask))()
    assert {("GET", 200), ("GET", 400), ("POST", 202), ("POST", 400), ("POST", 404)} <= statuses.keys()

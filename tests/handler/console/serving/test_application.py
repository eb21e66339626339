"""What holds for every answer of the page."""

from adapters.memory import MemoryBroker
from k8s.api.cluster import Cluster
from tests.handler.console.served import served


async def test_what_is_not_there_is_a_problem_for_programs_and_a_page_for_people(
    broker: MemoryBroker, cluster: Cluster
) -> None:
    async with served(broker, cluster) as page:
        answer = await page.get("/api/v1/nothing")
        assert (answer.status, answer.content_type) == (404, "application/problem+json")
        assert (await answer.json(content_type=None))["code"] == "NOT_FOUND"
        answer = await page.get("/nothing")
        assert (answer.status, answer.content_type) == (404, "text/html")

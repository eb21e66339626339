"""What holds for every page: no script or style of its own, names that lead somewhere, addresses of its base path."""

from collections import Counter

import pytest

from handler.console.pages.routes import routes
from k8s.api.cluster import Cluster
from tests.handler.console.pages.looking import Seen, looking
from tests.handler.history.recording.records import a_life

MOST_BYTES = 30_000
ELSEWHERE = ("/theme", "/done")
"""These lead to pages, or need to be told of what."""
PLAIN = sorted({route.path for route in routes() if route.method == "GET" and "{" not in route.path} - {*ELSEWHERE})


def test_the_pages_are_those_that_are_linked_to() -> None:
    assert {"/", "/queue", "/schedules", "/dead", "/submit", "/stats", "/audit"} <= set(PLAIN)


@pytest.mark.parametrize("path", [*PLAIN, "/requests/1", "/nothing"])
async def test_a_page_is_whole(path: str, cluster: Cluster) -> None:
    async with looking(cluster, *a_life("r-1", end="failed"), ui_base_path="/jobs") as page:
        answer = await page.get(path)
        html = await answer.text()
        # No broker is connected here: a page may say so, but not break.
        assert answer.status in (200, 404 if path == "/nothing" else 503)
        assert len(html.encode()) <= MOST_BYTES
        assert_whole(Seen(html))
        assert "Content-Security-Policy" in answer.headers


def assert_whole(shown: Seen) -> None:
    assert shown.inline == []
    assert [name for name, count in Counter(shown.ids).items() if count > 1] == []
    named = {
        name
        for _, attributes in shown.tags
        for key in ("for", "aria-labelledby", "aria-describedby", "aria-controls")
        for name in attributes.get(key, "").split()
    }
    assert named <= set(shown.ids)
    assert all(link.startswith(("/jobs/", "#")) for link in shown.links)
    assert len(shown.of("h1")) == len(shown.of("main")) == 1
    assert shown.of("html")[0]["lang"] == "en"
    assert shown.of("html")[0]["data-base"] == "/jobs"

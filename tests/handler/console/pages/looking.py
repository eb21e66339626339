"""Pages of a history of our own, as a browser gets them, and what stands in them. Support for tests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Any

from aiohttp import ClientSession, CookieJar
from cloudevents.core.v1.event import CloudEvent

from handler.console.serving.server import serve_page
from k8s.api.cluster import Cluster
from tests.handler.console.asking import Page
from tests.handler.console.views.seen import seeing

_CODE = frozenset({"script", "style"})
_ADDRESSES = frozenset({"href", "src", "action", "formaction"})


@asynccontextmanager
async def looking(cluster: Cluster, *events: CloudEvent, **settings: Any) -> AsyncIterator[Page]:
    """The page, once these events are recorded."""
    async with (
        seeing(cluster, *events, **{"ui_address": "127.0.0.1:0", **settings}) as (backend, _),
        serve_page(backend) as serving,
        ClientSession(cookie_jar=CookieJar(unsafe=True)) as session,
    ):
        assert serving is not None
        yield Page(serving, session)


class Seen(HTMLParser):
    """What stands in a page. `tags`: each with its attributes; `links`: all addresses; `text`: what people read.

    `inline`: scripts, styles and handlers that are not files of their own, which the content policy forbids.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.links: list[str] = []
        self.inline: list[str] = []
        self.words: list[str] = []
        self._within: str | None = None
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] for _, attributes in self.tags if "id" in attributes]

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all such tags."""
        return [attributes for name, attributes in self.tags if name == tag]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        self.links += [value for name, value in attributes.items() if name in _ADDRESSES]
        self.inline += [f"{tag} {name}" for name in attributes if name == "style" or name.startswith("on")]
        self._within = tag if tag in _CODE else None

    def handle_endtag(self, tag: str) -> None:
        self._within = None

    def handle_data(self, data: str) -> None:
        if self._within is None:
            self.words.append(data)
        elif data.strip():
            self.inline.append(f"{self._within} {data[:40]}")


async def seen(page: Page, path: str, *, status: int = 200) -> Seen:
    """The page at this path, which answers with this status."""
    answer = await page.get(path)
    assert (answer.status, answer.content_type) == (status, "text/html")
    return Seen(await answer.text())

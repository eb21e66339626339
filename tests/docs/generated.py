"""The generated parts of the documents: whole pages, and blocks between two marks. `write` brings them up to date."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from events.contract.reference import lifecycle_table, request_table
from handler.commands.contract import reference_page
from tests.docs import metrics, producers, settings, stories, tree
from tests.docs.chart import schema
from tests.docs.marks import between, put
from tests.paths import DEPLOY, EXAMPLES, ROOT

Make = Callable[[], str]

PAGES: Mapping[Path, Make] = {
    ROOT / "handler" / "SETTINGS.md": settings.page,
    ROOT / "handler" / "METRICS.md": metrics.page,
    ROOT / "events" / "REFERENCE.md": reference_page,
    DEPLOY / "chart" / "values.schema.json": schema.page,
}


@dataclass(frozen=True, slots=True)
class Block:
    """The text between the marks of this name in a file."""

    path: Path
    name: str
    make: Make

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}: {self.name}"

    def current(self) -> str:
        return between(self.path.read_text(), self.name, path=self.path)[1]

    def write(self) -> None:
        put(self.path, self.name, self.make())


def client() -> str:
    """The whole example file: the page shows what the tests run."""
    return f"```python\n{(EXAMPLES / 'clients' / 'python_nats.py').read_text()}```"


def request() -> str:
    """The example that README begins with, without its comment."""
    _, _, event = (EXAMPLES / "single.yaml").read_text().partition("\n")
    return f"```yaml\n{event}```"


BLOCKS = (
    Block(ROOT / "README.md", "request", request),
    Block(ROOT / "adapters" / "README.md", "producers", producers.table),
    Block(ROOT / "events" / "README.md", "client", client),
    Block(ROOT / "events" / "README.md", "requests", request_table),
    Block(ROOT / "events" / "README.md", "phases", lifecycle_table),
    Block(ROOT / "handler" / "README.md", "tree", tree.tree),
    Block(ROOT / "handler" / "README.md", "layers", tree.layers),
    Block(ROOT / "tests" / "FAULTS.md", "ends", stories.table),
    Block(DEPLOY / "base" / "settings.env", "settings", settings.comments),
)


def write() -> None:
    """Write all pages and blocks."""
    for path, make in PAGES.items():
        path.write_text(make())
    for block in BLOCKS:
        block.write()

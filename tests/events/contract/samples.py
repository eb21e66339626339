"""The example files, as their readers would read them."""

from typing import Any

import yaml

from tests.paths import EXAMPLES

REQUESTS = ("webhook-worker", "single", "parallel", "indexed", "work-queue", "data-migration", "gpu", "schedule")


def example(name: str) -> Any:
    """The document in events/examples/<name>.yaml."""
    return yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text())

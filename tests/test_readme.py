"""README says what is true: its tables of settings and of metrics, and its client, are those of the code."""

import re
from collections.abc import Callable, Mapping

import pytest

from events.request.container import OUR_ENV
from handler.settings.settings import PREFIX, Settings
from handler.telemetry.metrics import Metrics
from tests.k8s.deploy import test_settings
from tests.paths import EXAMPLES, ROOT

README = ROOT / "README.md"
PREFIX_OF_METRICS = "jobrelay_"


def settings_table() -> str:
    shown = Settings.from_env({}).printable()
    rows = [
        f"| `{PREFIX}{name.upper()}` | {_cell(shown[f'{PREFIX}{name.upper()}'])} | {_limits(field.metadata)} | "
        f"{field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | allowed | meaning |", "|---|---|---|---|", *rows])


def _cell(value: str) -> str:
    return f"`{value}`" if value else ""


def _limits(metadata: list[object]) -> str:
    low = next((rule.ge for rule in metadata if hasattr(rule, "ge")), None)
    high = next((rule.le for rule in metadata if hasattr(rule, "le")), None)
    if low is None:
        return ""
    return f"{low}-{high}" if high is not None else f"{low} or more"


def metrics_table() -> str:
    metrics = Metrics()
    rows = []
    for family in metrics.registry.collect():
        if family.name.startswith(PREFIX_OF_METRICS):
            name = family.name + ("_total" if family.type == "counter" else "")
            labels = ", ".join(f"`{label}`" for label in metrics.bounds[family.name])
            rows.append(f"| `{name}` | {family.type} | {labels} | {family.documentation} |")
    return "\n".join(["| metric | type | labels | meaning |", "|---|---|---|---|", *rows])


def client() -> str:
    """The whole example: what README shows is what the tests run."""
    return f"```python\n{(EXAMPLES / 'clients' / 'python_nats.py').read_text()}```"


TABLES: Mapping[str, Callable[[], str]] = {"settings": settings_table, "metrics": metrics_table, "client": client}
"""As they have to be. `python -m tests.test_readme` writes them into README, and the settings into the manifests."""


def place(text: str, name: str) -> tuple[int, int]:
    """Where the table stands in `text`: behind its begin mark, before its end mark."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    if begin not in text:
        pytest.skip(f"README has no place for {name}")
    return text.index(begin) + len(begin), text.index(end)


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_complete_and_true(name: str) -> None:
    text = README.read_text()
    begin, end = place(text, name)
    assert text[begin:end].strip() == TABLES[name]()


def test_every_metric_that_readme_names_exists() -> None:
    families = list(Metrics().registry.collect())
    known = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert set(re.findall(r"`(jobrelay_[a-z_]+)[{`]", README.read_text())) <= known


def test_every_variable_that_readme_names_exists() -> None:
    of_containers = {name for name in OUR_ENV if name.startswith(PREFIX)}
    streams = {"JOBRELAY_REQUESTS", "JOBRELAY_CONTROL", "JOBRELAY_LIFECYCLE", "JOBRELAY_DEAD", "JOBRELAY_CHAOS"}
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | of_containers | streams
    assert set(re.findall(r"JOBRELAY_[A-Z_]+[A-Z]", README.read_text())) <= known


def write() -> None:
    text = README.read_text()
    for name, table in TABLES.items():
        if f"<!-- {name}: begin -->" in text:
            begin, end = place(text, name)
            text = f"{text[:begin]}\n{table()}\n{text[end:]}"
    README.write_text(text)
    test_settings.write()


if __name__ == "__main__":
    write()

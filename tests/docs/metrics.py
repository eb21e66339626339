"""The metrics as a page of Markdown, made from the metrics themselves."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby
from typing import get_args

from prometheus_client.metrics_core import Metric

from handler.settings.settings import Settings
from handler.telemetry.metrics import Metrics

PREFIX = "jobrelay_"
HEAD = """\
# Metrics

<!-- Generated from handler/telemetry/metrics.py by `make docs`. -->

Every process serves them on `/metrics` of `JOBRELAY_HTTP_ADDRESS`, beside `process_*` (memory, CPU time, descriptors)
and `python_*`. Times are in seconds. Labels have few, fixed values, never an id or a name of a request; counters are
there at 0 before they count. Both controllers show the queues and the Jobs: take `max`, not `sum`, over pods.
Alerts and a dashboard: see [Monitoring](../k8s/README.md#monitoring).
"""


def page() -> str:
    """All of handler/METRICS.md."""
    metrics = Metrics()
    groups = groupby(_families(metrics), key=lambda family: metrics.subjects[family.name])
    return "\n".join([HEAD, *(_section(subject, group, metrics) for subject, group in groups), _labels(metrics)])


def names() -> frozenset[str]:
    """The names of all metrics of jobrelay, as Prometheus shows them."""
    return frozenset(map(_shown, _families(Metrics())))


def _families(metrics: Metrics) -> list[Metric]:
    return [family for family in metrics.registry.collect() if family.name.startswith(PREFIX)]


def _shown(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


def _section(subject: str, families: Iterable[Metric], metrics: Metrics) -> str:
    rows = [
        f"| `{_shown(family)}` | {family.type} | {_codes(metrics.bounds[family.name])} | {family.documentation} |"
        for family in families
    ]
    return "\n".join([f"## {subject}", "", "| metric | type | labels | meaning |", "|---|---|---|---|", *rows, ""])


def _labels(metrics: Metrics) -> str:
    """A table of the labels: their values, and the metrics that have them."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for family in _families(metrics):
        for label, values in metrics.bounds[family.name].items():
            found[label, _values(label, values)].append(_shown(family))
    rows = [f"| `{label}` | {values} | {_codes(names)} |" for (label, values), names in found.items()]
    return "\n".join(["## Values of labels", "", "| label | values | of |", "|---|---|---|", *rows, ""])


def _values(label: str, values: Iterable[str]) -> str:
    if label == "version":
        return "the version of jobrelay"
    if label == "job_namespace":
        return "the namespaces that Jobs may be in"
    if label == "store" and not values:
        return "the broker's name of each stream and queue, as `stream JOBRELAY_REQUESTS`"
    # The metrics of a process know only its own role.
    known = get_args(Settings.model_fields["role"].annotation) if label == "role" else values
    return _codes(dict.fromkeys(known))


def _codes(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)

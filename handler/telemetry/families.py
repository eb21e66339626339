"""How metrics are declared: each with all the values that its labels may have."""

import itertools
from collections.abc import Collection, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

CALL = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that a call takes."""


class Families:
    """Metrics on a registry of their own, so that two sets in a process (in tests) do not collide.

    `bounds`: of each family, the values that each of its labels may have. `subjects`: what each family is about;
    `subject`: what those are about that are declared next.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.bounds: dict[str, Mapping[str, Collection[str]]] = {}
        self.subjects: dict[str, str] = {}
        self.subject = ""

    def gauge(self, name: str, documentation: str, **values: Sequence[str]) -> Gauge:
        """A value that goes up and down. `values`: of each label, those that it may have."""
        return Gauge(self.bounded(name, values), documentation, list(values), registry=self.registry)

    def counter(self, name: str, documentation: str, **values: Sequence[str]) -> Counter:
        """What only grows, at 0 from the start for all values but those of brokers, see `expect` of those who count."""
        made = Counter(self.bounded(name, values), documentation, list(values), registry=self.registry)
        if values and "broker" not in values:
            for chosen in itertools.product(*values.values()):
                made.labels(*chosen)
        return made

    def histogram(self, name: str, documentation: str, buckets: Sequence[float]) -> Histogram:
        """How seconds are spread. `buckets`: their upper bounds."""
        return Histogram(self.bounded(name, {}), documentation, buckets=buckets, registry=self.registry)

    def bounded(self, name: str, values: Mapping[str, Collection[str]]) -> str:
        """The whole name of a family, noted with the values that its labels may have."""
        full = f"jobrelay_{name}"
        self.bounds[full], self.subjects[full] = values, self.subject
        return full

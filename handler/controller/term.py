"""What the parts of the controller share in one term of leadership."""

from dataclasses import dataclass

from handler.effects.writes import Writes
from k8s.informer.informer import JobCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """What the leader sees, and what it writes with as long as it has the Lease."""

    cache: JobCache
    writes: Writes
    previous: float | None
    """The former leader's `published-to`: epoch seconds of the API server's clock; None if it never said."""

"""What a pod requests and may use at most, all its containers together."""

from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.quantities import Amounts, add, highest

REQUESTS, LIMITS = "requests", "limits"


def containers(spec: Obj) -> list[Obj]:
    """All containers, init containers last."""
    return [*(spec.get("containers") or []), *(spec.get("initContainers") or [])]


def given(container: Obj, place: str) -> Amounts:
    """A container's requests or limits."""
    found: Amounts = (container.get("resources") or {}).get(place) or {}
    return found


def pod_total(spec: Obj, place: str) -> dict[str, str]:
    """The requests or limits of a pod. An init container needs its part only before the others, a sidecar always."""
    running: dict[str, str] = {}
    for container in spec.get("containers") or []:
        running = _sum(running, given(container, place))
    sidecars: dict[str, str] = {}
    starting: dict[str, str] = {}
    for container in spec.get("initContainers") or []:
        needed = _sum(sidecars, given(container, place))
        starting = _highest(starting, needed)
        if container.get("restartPolicy") == "Always":
            sidecars = needed
    return _sum(_highest(_sum(running, sidecars), starting), spec.get("overhead") or {})


def _sum(one: Amounts, other: Amounts) -> dict[str, str]:
    return {**one, **{name: add(one[name], amount) if name in one else amount for name, amount in other.items()}}


def _highest(one: Amounts, other: Amounts) -> dict[str, str]:
    return {
        **one,
        **{name: highest((one[name], amount)) if name in one else amount for name, amount in other.items()},
    }

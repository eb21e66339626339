"""What LimitRanges add to new pods and claims, and what they refuse."""

from collections.abc import Callable, Iterator

from k8s.devcluster.errors import forbidden
from k8s.devcluster.resources import RESOURCES, Obj
from k8s.devcluster.rules.limitranges import CLAIM, CONTAINER, POD
from k8s.devcluster.rules.podresources import LIMITS, REQUESTS, containers, given, pod_total
from k8s.devcluster.rules.quantities import Amounts, canonical
from k8s.reading.quantity import parse

_ANNOTATION = "kubernetes.io/limit-ranger"


def complete(pod: Obj, limit_ranges: list[Obj]) -> None:
    """Give the containers of a new pod the default requests and limits that they lack, and note it in the pod."""
    for limit_range in limit_ranges:
        noted: list[str] = []
        for place, kind in (("containers", "container"), ("initContainers", "init container")):
            for container in pod["spec"].get(place) or []:
                noted += _completed(container, kind, limit_range)
        if noted:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(noted)}"


def enforce(plural: str, obj: Obj, limit_ranges: list[Obj]) -> None:
    """ApiError 403 if a new pod or claim breaks a LimitRange; all that it breaks of the first one."""
    broken = _broken_by_pod if plural == "pods" else _broken_by_claim
    if plural not in ("pods", "persistentvolumeclaims"):
        return
    for limit_range in limit_ranges:
        told = [line for item in _items(limit_range) for line in broken(item, obj["spec"])]
        if told:
            why = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
            raise forbidden(RESOURCES[plural], obj["metadata"].get("name", ""), why)


def _items(limit_range: Obj) -> list[Obj]:
    found: list[Obj] = (limit_range.get("spec") or {}).get("limits") or []
    return found


def _completed(container: Obj, kind: str, limit_range: Obj) -> Iterator[str]:
    for place, source, word in ((REQUESTS, "defaultRequest", "request"), (LIMITS, "default", "limit")):
        amounts = given(container, place)
        defaults: dict[str, str] = {}
        for item in _items(limit_range):
            defaults |= (item.get(source) or {}) if item["type"] == CONTAINER else {}
        added = {name: amount for name, amount in defaults.items() if name not in amounts}
        if added:
            container["resources"] = (container.get("resources") or {}) | {place: {**amounts, **added}}
            yield f"{', '.join(sorted(added))} {word} for {kind} {container['name']}"


def _broken_by_pod(item: Obj, spec: Obj) -> Iterator[str]:
    if item["type"] == CONTAINER:
        for container in containers(spec):
            yield from _broken(item, given(container, REQUESTS), given(container, LIMITS))
    elif item["type"] == POD:
        yield from _broken(item, pod_total(spec, REQUESTS), pod_total(spec, LIMITS))


def _broken_by_claim(item: Obj, spec: Obj) -> Iterator[str]:
    if item["type"] != CLAIM:
        return
    requests = given({"resources": spec.get("resources")}, REQUESTS)
    for place, word, is_wrong in (("min", "minimum", _below), ("max", "maximum", _above)):
        for name, bound in sorted((item.get(place) or {}).items()):
            head = f"{word} {name} usage per {CLAIM} is {canonical(bound)}"
            if name not in requests:
                yield f"{head}.  No request is specified"
            elif is_wrong(requests[name], bound):
                yield f"{head}, but request is {canonical(requests[name])}"


def _broken(item: Obj, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for place, rule in _RULES.items():
        for name, bound in sorted((item.get(place) or {}).items()):
            yield from rule(
                f"{name} {{}} per {item['type']} is {canonical(bound)}", bound, requests.get(name), limits.get(name)
            )


def _minimum(about: str, bound: str, request: str | None, limit: str | None) -> Iterator[str]:
    head = f"minimum {about.format('usage')}"
    if request is None:
        yield f"{head}.  No request is specified"
    elif _below(request, bound):
        yield f"{head}, but request is {canonical(request)}"
    elif limit is not None and _below(limit, bound):
        yield f"{head}, but limit is {canonical(limit)}"


def _maximum(about: str, bound: str, request: str | None, limit: str | None) -> Iterator[str]:
    head = f"maximum {about.format('usage')}"
    if limit is None:
        yield f"{head}.  No limit is specified"
    elif _above(limit, bound):
        yield f"{head}, but limit is {canonical(limit)}"
    elif request is not None and _above(request, bound):
        yield f"{head}, but request is {canonical(request)}"


def _ratio(about: str, bound: str, request: str | None, limit: str | None) -> Iterator[str]:
    head = about.format("max limit to request ratio")
    if request is None or not parse(request):
        yield f"{head}, but no request is specified or request is 0"
    elif limit is None or not parse(limit):
        yield f"{head}, but no limit is specified or limit is 0"
    elif parse(limit) / parse(request) > parse(bound):
        yield f"{head}, but provided ratio is {parse(limit) / parse(request):.6f}"


def _below(amount: str, bound: str) -> bool:
    return parse(amount) < parse(bound)


def _above(amount: str, bound: str) -> bool:
    return parse(amount) > parse(bound)


_Rule = Callable[[str, str, str | None, str | None], Iterator[str]]
_RULES: dict[str, _Rule] = {"min": _minimum, "max": _maximum, "maxLimitRequestRatio": _ratio}

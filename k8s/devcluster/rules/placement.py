"""Whether a pod fits the only node, and the scheduler's message if it does not. Pure.

CPU and memory are not counted: a process gets what the machine has. Extended resources, such as GPUs, are.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from k8s.devcluster.resources import Obj
from k8s.reading.quantity import parse

NODE = "devcluster"
NO_MATCH = "node(s) didn't match Pod's node affinity/selector"
UNSCHEDULABLE = "node(s) were unschedulable"
FULL = "Too many pods"
_USELESS = "Preemption is not helpful for scheduling"
_NO_VICTIMS = "No preemption victims found for incoming pod"
_KEPT_OUT = ("NoSchedule", "NoExecute")


def refusal(pod: Obj, node: Obj, others: Iterable[Obj]) -> str | None:
    """The scheduler's message if the pod does not fit `node`, on which `others` run. None: it fits."""
    others = list(others)
    for why in (_taint(pod, node), None if _selects(pod, node) else NO_MATCH, _spread(pod, node)):
        if why:
            return message(why)
    for name, wanted in extended(pod).items():
        offered = parse(((node.get("status") or {}).get("allocatable") or {}).get(name, "0"))
        used = sum((extended(other).get(name, Decimal()) for other in others), Decimal())
        if wanted > offered - used:
            return message(f"Insufficient {name}", helpful=wanted <= offered)
    why = _neighbours(pod, node, others)
    return message(why, helpful=True) if why else None


def message(why: str, *, helpful: bool = False, counted: bool = True) -> str:
    """The scheduler's message. `helpful`: preempting other pods could help. `counted`: `why` is about nodes."""
    told = f"1 {why}" if counted else why
    ending = _NO_VICTIMS if helpful else _USELESS
    return (
        f"0/1 nodes are available: {told}. no new claims to deallocate, "
        f"preemption: 0/1 nodes are available: 1 {ending}."
    )


def extended(pod: Obj) -> dict[str, Decimal]:
    """What the pod needs of extended resources, such as `nvidia.com/gpu`."""

    spec = pod["spec"]
    needed: dict[str, Decimal] = {}
    for container in spec["containers"]:
        for name, amount in _limits(container):
            needed[name] = needed.get(name, Decimal()) + amount
    for container in spec.get("initContainers") or []:  # These run before the others, one after another.
        for name, amount in _limits(container):
            needed[name] = max(needed.get(name, Decimal()), amount)
    return needed


def _limits(container: Obj) -> list[tuple[str, Decimal]]:
    limits = (container.get("resources") or {}).get("limits") or {}
    return [(name, parse(amount)) for name, amount in limits.items() if is_extended(name)]


def is_extended(resource: str) -> bool:
    """Whether it has a domain that is not Kubernetes' own."""
    domain = resource.rpartition("/")[0]
    return bool(domain) and not domain.endswith("kubernetes.io")


def _taint(pod: Obj, node: Obj) -> str:
    spec = node.get("spec") or {}
    tolerations = pod["spec"].get("tolerations") or []
    taints = [taint for taint in spec.get("taints") or [] if taint.get("effect") in _KEPT_OUT]
    if spec.get("unschedulable") and not _tolerated(
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}, tolerations
    ):
        return UNSCHEDULABLE
    for taint in taints:
        if not _tolerated(taint, tolerations):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return ""


def _tolerated(taint: Obj, tolerations: Iterable[Obj]) -> bool:
    for toleration in tolerations:
        key, effect = toleration.get("key"), toleration.get("effect")
        if key not in (None, "", taint["key"]) or effect not in (None, "", taint["effect"]):
            continue
        if toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""):
            return True
    return False


def _selects(pod: Obj, node: Obj) -> bool:
    """Whether the node has the labels that the pod's selector and required affinity ask for."""
    spec, labels = pod["spec"], node["metadata"].get("labels") or {}
    selector: dict[str, str] = spec.get("nodeSelector") or {}
    if any(labels.get(name) != value for name, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_matches(term, node) for term in required.get("nodeSelectorTerms") or [])


def _spread(pod: Obj, node: Obj) -> str:
    """On a single node pods are always spread evenly, if the node has the label to spread by."""
    labels = node["metadata"].get("labels") or {}
    for constraint in pod["spec"].get("topologySpreadConstraints") or []:
        if constraint.get("whenUnsatisfiable") == "DoNotSchedule" and constraint.get("topologyKey") not in labels:
            return "node(s) didn't match pod topology spread constraints (missing required label)"
    return ""


def _neighbours(pod: Obj, node: Obj, others: list[Obj]) -> str:
    """Required affinity and anti-affinity of this pod to the others on the node, and their anti-affinity to it."""
    affinity = pod["spec"].get("affinity") or {}
    for term in _required(affinity, "podAffinity"):
        # The first of several pods with affinity to each other may be placed: there is none to join yet.
        alone = not any(_near(term, pod, other, node) for other in others)
        if alone and not _near(term, pod, pod, node):
            return "node(s) didn't match pod affinity rules"
    if any(_near(term, pod, other, node) for term in _required(affinity, "podAntiAffinity") for other in others):
        return "node(s) didn't match pod anti-affinity rules"
    for other in others:
        theirs = _required(other["spec"].get("affinity") or {}, "podAntiAffinity")
        if any(_near(term, other, pod, node) for term in theirs):
            return "node(s) didn't satisfy existing pods anti-affinity rules"
    return ""


def _required(affinity: Obj, kind: str) -> list[Obj]:
    found: list[Obj] = (affinity.get(kind) or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or []
    return found


def _near(term: Obj, subject: Obj, other: Obj, node: Obj) -> bool:
    """Whether the term of `subject` is about `other`, and the node has the label of its topology."""
    if term.get("topologyKey") not in (node["metadata"].get("labels") or {}):
        return False
    namespaces = term.get("namespaces") or [subject["metadata"]["namespace"]]
    if other["metadata"]["namespace"] not in namespaces and term.get("namespaceSelector") is None:
        return False
    return _selected(term.get("labelSelector"), other["metadata"].get("labels") or {})


def _selected(selector: Obj | None, labels: Mapping[str, str]) -> bool:
    """A missing selector selects nothing; an empty selector selects everything."""
    if selector is None:
        return False
    wanted = selector.get("matchLabels") or {}
    expressions = selector.get("matchExpressions") or []
    return all(labels.get(name) == value for name, value in wanted.items()) and all(
        _holds(labels.get(item["key"]), item) for item in expressions
    )


def _matches(term: Obj, node: Obj) -> bool:
    labels: Mapping[str, str] = node["metadata"].get("labels") or {}
    wanted = [(labels.get(item["key"]), item) for item in term.get("matchExpressions") or []]
    name = node["metadata"]["name"]
    wanted += [(name if item["key"] == "metadata.name" else None, item) for item in term.get("matchFields") or []]
    return bool(wanted) and all(_holds(value, item) for value, item in wanted)


def _holds(value: str | None, expression: dict[str, Any]) -> bool:
    values = expression.get("values") or []
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case operator:
            return _compares(value, operator, values)


def _compares(value: str | None, operator: str, values: list[str]) -> bool:
    if value is None or not value.isdigit() or len(values) != 1:
        return False
    return int(value) > int(values[0]) if operator == "Gt" else int(value) < int(values[0])

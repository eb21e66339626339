"""Where a request wants its pods: tolerations, affinity, spreading. The shapes are those of Kubernetes' pods."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from events.request.fields import INT32_MAX, AtMost, LabelKey, LabelText, Model, ObjectName, wrong

_Weight = Annotated[int, Field(ge=1, le=100)]
_Seconds = Annotated[int, Field(ge=0, le=INT32_MAX)]
_Few = Field(min_length=1, max_length=20)


def _pair_as_map(value: Any) -> Any:
    """`{matchKey, matchValue}` is the map of that one label."""
    if isinstance(value, dict) and value.keys() == {"matchKey", "matchValue"} and isinstance(value["matchKey"], str):
        return {value["matchKey"]: value["matchValue"]}
    return value


class _OrPair:
    """Adds the other form to the JSON Schema."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        properties = {
            "matchKey": {"type": "string", "maxLength": 317},
            "matchValue": {"type": "string", "maxLength": 63},
        }
        pair = {"type": "object", "properties": properties}
        return {"anyOf": [handler(core), {**pair, "required": [*pair["properties"]], "additionalProperties": False}]}


NodeSelector = Annotated[dict[LabelKey, LabelText], AtMost(20), BeforeValidator(_pair_as_map), _OrPair()]
"""Labels that the node must have: a map, or `{matchKey, matchValue}` for one."""


class Toleration(Model):
    """A toleration, as in a pod."""

    key: LabelKey | None = Field(
        default=None, description="Key of the taint. Absent with `operator: Exists`: every taint."
    )
    operator: Literal["Exists", "Equal"] | None = Field(
        default=None, description="How the taint is compared. By default `Equal`."
    )
    value: LabelText | None = Field(default=None, description="Value of the taint.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Effect of the taint. By default every effect."
    )
    toleration_seconds: _Seconds | None = Field(
        default=None, description="How long the taint is tolerated, with effect `NoExecute`. By default for ever."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Toleration":
        if self.key is None and self.operator != "Exists":
            raise wrong("needs a key, or operator Exists")
        if self.operator == "Exists" and self.value:
            raise wrong("has a value, which operator Exists does not compare")
        if self.toleration_seconds is not None and self.effect != "NoExecute":
            raise wrong("has tolerationSeconds, which go with effect NoExecute only")
        return self


class Expression(Model):
    """One requirement on the labels of a pod."""

    key: LabelKey = Field(description="Key of the label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How the label is compared.")
    values: Annotated[list[LabelText], Field(max_length=100)] | None = Field(
        default=None, description="With `In` and `NotIn`."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Expression":
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise wrong("has values exactly with the operators In and NotIn")
        return self


class NodeExpression(Model):
    """One requirement on the labels of a node."""

    key: LabelKey = Field(description="Key of the node's label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"] = Field(
        description="How the label is compared."
    )
    values: Annotated[list[LabelText], Field(max_length=100)] | None = Field(
        default=None, description="`In`, `NotIn`: some; `Gt`, `Lt`: one whole number; else none."
    )

    @model_validator(mode="after")
    def _consistent(self) -> "NodeExpression":
        count = len(self.values or ())
        fits = {"Exists": count == 0, "DoesNotExist": count == 0, "Gt": count == 1, "Lt": count == 1}
        if not fits.get(self.operator, count > 0):
            raise wrong("has not as many values as its operator takes", "In, NotIn: some; Gt, Lt: one; else none")
        return self


class LabelSelector(Model):
    """A label selector, as everywhere in Kubernetes."""

    match_labels: Annotated[dict[LabelKey, LabelText], AtMost(20)] | None = Field(
        default=None, description="Labels that must have these values."
    )
    match_expressions: Annotated[list[Expression], Field(max_length=20)] | None = Field(
        default=None, description="Requirements that must all hold."
    )


class NodeTerm(Model):
    """Requirements on a node, all of which must hold."""

    match_expressions: Annotated[list[NodeExpression], _Few] = Field(description="Requirements that must all hold.")


class NodeTerms(Model):
    """Terms, at least one of which must hold."""

    node_selector_terms: Annotated[list[NodeTerm], _Few] = Field(description="One of them must hold.")


class PreferredNode(Model):
    """Nodes to prefer."""

    weight: _Weight = Field(description="1-100: how much it counts.")
    preference: NodeTerm = Field(description="The nodes.")


class NodeAffinity(Model):
    """Affinity to nodes, as in a pod."""

    required_during_scheduling_ignored_during_execution: NodeTerms | None = Field(
        default=None, description="Nodes that are allowed."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredNode], _Few] | None = Field(
        default=None, description="Nodes that are preferred."
    )


class PodTerm(Model):
    """Pods of the request's own namespace, and the node label that says what is near."""

    label_selector: LabelSelector = Field(description="The pods.")
    topology_key: LabelKey = Field(description="Node label whose equal values mean near.")


class PreferredPod(Model):
    """Pods to prefer being near to, or far from."""

    weight: _Weight = Field(description="1-100: how much it counts.")
    pod_affinity_term: PodTerm = Field(description="The pods.")


class PodAffinity(Model):
    """Affinity to other pods, or away from them, as in a pod."""

    required_during_scheduling_ignored_during_execution: Annotated[list[PodTerm], _Few] | None = Field(
        default=None, description="Terms that must hold."
    )
    preferred_during_scheduling_ignored_during_execution: Annotated[list[PreferredPod], _Few] | None = Field(
        default=None, description="Terms that are better met."
    )


class Affinity(Model):
    """Affinity as in a pod, without the terms that look into other namespaces."""

    node_affinity: NodeAffinity | None = Field(default=None, description="To nodes.")
    pod_affinity: PodAffinity | None = Field(default=None, description="Near to other pods of the namespace.")
    pod_anti_affinity: PodAffinity | None = Field(default=None, description="Far from other pods of the namespace.")


class Spread(Model):
    """A topology spread constraint, as in a pod; without a selector it spreads the request's own pods."""

    max_skew: Annotated[int, Field(ge=1, le=1000)] = Field(description="By how many pods the places may differ.")
    topology_key: LabelKey = Field(description="Node label that tells places apart.")
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"] = Field(
        description="`ScheduleAnyway`: as far as possible."
    )
    label_selector: LabelSelector | None = Field(
        default=None, description="The pods that count. By default the request's own."
    )
    min_domains: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Places there should be at least; with `DoNotSchedule`."
    )
    node_affinity_policy: Literal["Honor", "Ignore"] | None = Field(
        default=None, description="As in a pod's constraint."
    )
    node_taints_policy: Literal["Honor", "Ignore"] | None = Field(default=None, description="As in a pod's constraint.")

    @model_validator(mode="after")
    def _consistent(self) -> "Spread":
        if self.min_domains is not None and self.when_unsatisfiable != "DoNotSchedule":
            raise wrong("has minDomains, which go with whenUnsatisfiable DoNotSchedule only")
        return self


class PlacementFields(Model):
    """The fields of `job` about the nodes that its pods run on."""

    section: ClassVar[str] = "Where it runs"

    node_selector: NodeSelector | None = Field(
        default=None,
        description="Labels a node must have: a map, or `{matchKey, matchValue}` for one label. By default none.",
    )
    toleration: Toleration | None = Field(default=None, description="One more entry of `tolerations`. By default none.")
    tolerations: Annotated[list[Toleration], Field(max_length=50)] | None = Field(
        default=None, description="Taints of nodes that the pods bear, as in a pod. By default none."
    )
    affinity: Affinity | None = Field(
        default=None,
        description="As in a pod, but terms about pods have `labelSelector` and `topologyKey` only, and look into the "
        "Job's own namespace. By default none.",
    )
    topology_spread_constraints: Annotated[list[Spread], Field(max_length=20)] | None = Field(
        default=None,
        description="As in a pod; without `labelSelector` a constraint means the request's own pods. `[]`: the pods "
        "are not spread. By default evenly over the nodes, as far as there is room.",
    )
    priority_class_name: ObjectName | None = Field(
        default=None,
        description="Priority class of the pods; must match JOBRELAY_PRIORITY_CLASSES. By default none.",
    )

"""Which Jobs, and which changes of a Job, the API accepts."""

from typing import Any

from k8s.devcluster.errors import FieldError, invalid, required, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.jobpolicy import NOT_NEGATIVE, index_limits, policies
from k8s.devcluster.rules.metadata import labels
from k8s.devcluster.rules.names import dns_label
from k8s.devcluster.rules.pods import pod_spec

_COUNTS = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip
_MODES = ("NonIndexed", "Indexed")
_REPLACEMENT = ("Failed", "TerminatingOrFailed")
_IMMUTABLE = (
    "selector", "completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy",
)  # fmt: skip
# As long as a Job has never started, these may change, and labels, annotations and node affinity of its pods.
_SCHEDULING = ("nodeSelector", "tolerations", "schedulingGates")
_MAX_INDEXED_PARALLELISM = 100_000


def new_job(job: Obj) -> list[FieldError]:
    return job_spec(job["spec"]) + _selector(job["spec"]) + _host_names(job)


def job_spec(spec: Obj) -> list[FieldError]:
    """All errors of a spec that has its defaults. Their fields begin with `spec`."""
    errors = _counts(spec) + _modes(spec) + _indexed(spec) + policies(spec)
    template = spec["template"]
    errors += labels((template.get("metadata") or {}).get("labels") or {}, "spec.template.labels")
    return errors + _template(template["spec"])


def changed_job(new: Obj, old: Obj) -> list[FieldError]:
    spec, before = new["spec"], old["spec"]
    errors = _counts(spec) + _modes(spec) + _indexed(spec)
    if spec.get("completions") != before.get("completions") and not _elastic(spec):
        errors.append(_immutable("completions", spec.get("completions")))
    errors += [_immutable(name, spec.get(name)) for name in _IMMUTABLE if spec.get(name) != before.get(name)]
    template = spec["template"]
    if template != before["template"]:
        if _without_scheduling(template, old) != _without_scheduling(before["template"], old):
            errors.append(_immutable("template", template))
        errors += _template(template["spec"]) + _selector(spec)
    return errors


def _selector(spec: Obj) -> list[FieldError]:
    if spec.get("selector") is None:
        return [required("spec.selector")]
    wanted = spec["selector"].get("matchLabels") or {}
    labelled = (spec["template"].get("metadata") or {}).get("labels") or {}
    if wanted.items() <= labelled.items():
        return []
    return [invalid("spec.template.metadata.labels", labelled, "`selector` does not match template `labels`")]


def _immutable(name: str, value: Any) -> FieldError:
    return invalid(f"spec.{name}", value, "field is immutable")


def _counts(spec: Obj) -> list[FieldError]:
    return [
        invalid(f"spec.{name}", spec[name], NOT_NEGATIVE)
        for name in _COUNTS
        if spec.get(name) is not None and spec[name] < 0
    ]


def _modes(spec: Obj) -> list[FieldError]:
    errors = []
    if spec["completionMode"] not in _MODES:
        errors.append(unsupported("spec.completionMode", spec["completionMode"], _MODES))
    policy = spec["podReplacementPolicy"]
    allowed = ("Failed",) if spec.get("podFailurePolicy") else _REPLACEMENT
    if policy not in allowed:
        errors.append(unsupported("spec.podReplacementPolicy", policy, allowed))
    return errors


def _indexed(spec: Obj) -> list[FieldError]:
    if spec["completionMode"] != "Indexed":
        return [
            invalid(f"spec.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy")
            if spec.get(name) is not None
        ]
    errors = []
    if spec.get("completions") is None:
        errors.append(required("spec.completions", "when completion mode is Indexed"))
    if spec["parallelism"] > _MAX_INDEXED_PARALLELISM:
        why = f"must be less than or equal to {_MAX_INDEXED_PARALLELISM} when completion mode is Indexed"
        errors.append(invalid("spec.parallelism", spec["parallelism"], why))
    return errors + index_limits(spec)


def _host_names(job: Obj) -> list[FieldError]:
    """An Indexed Job's name, followed by an index, is the host name of a pod."""
    spec, name = job["spec"], job["metadata"].get("name") or ""
    if spec["completionMode"] != "Indexed" or not spec.get("completions"):
        return []
    wrong = dns_label(f"{name}-{spec['completions'] - 1}")
    why = "will not able to create pod with invalid DNS label: "
    return [invalid("metadata.name", name, f"{why}{name}-{spec['completions'] - 1}")] if wrong else []


def _template(spec: Obj) -> list[FieldError]:
    errors = pod_spec(spec, "spec.template.spec")
    policy, where = spec.get("restartPolicy"), "spec.template.spec.restartPolicy"
    if not policy or policy == "Always":
        errors.append(required(where, 'valid values: "OnFailure", "Never"'))
    elif policy not in ("OnFailure", "Never"):
        errors.append(unsupported(where, policy, ("OnFailure", "Never")))
    return errors


def _elastic(spec: Obj) -> bool:
    """Completions of an Indexed Job may change together with its parallelism."""
    return bool(spec["completionMode"] == "Indexed" and spec.get("completions") == spec["parallelism"])


def _without_scheduling(template: Obj, old: Obj) -> Obj:
    status = old.get("status") or {}
    if not old["spec"].get("suspend") or status.get("startTime") or status.get("active"):
        return template
    metadata = {
        name: value for name, value in (template.get("metadata") or {}).items() if name not in ("labels", "annotations")
    }
    spec = {name: value for name, value in template["spec"].items() if name not in _SCHEDULING}
    affinity = {name: value for name, value in (spec.pop("affinity", None) or {}).items() if name != "nodeAffinity"}
    return {"metadata": metadata, "spec": spec | {"affinity": affinity}}

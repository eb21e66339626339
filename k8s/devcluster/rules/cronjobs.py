"""Which CronJobs, and which changes of CronJobs, the API accepts. When they run is decided elsewhere."""

import copy
from dataclasses import replace

from events.cron import InvalidSchedule, parse_schedule, zone
from k8s.devcluster.errors import FieldError, invalid, required, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.defaults import default_job_spec
from k8s.devcluster.rules.jobpolicy import NOT_NEGATIVE
from k8s.devcluster.rules.jobs import job_spec

LONGEST_NAME = 52
"""The names of its Jobs must be label values: 63 characters, less a hyphen and ten digits for the minute."""
_POLICIES = ("Allow", "Forbid", "Replace")


def new_cron_job(cron_job: Obj) -> list[FieldError]:
    errors = _schedule(cron_job["spec"]) + _zone(cron_job["spec"]) + _rest(cron_job["spec"])
    name = cron_job["metadata"].get("name") or ""
    if len(name) > LONGEST_NAME:
        errors.append(invalid("metadata.name", name, f"must be no more than {LONGEST_NAME} characters"))
    return errors


def changed_cron_job(new: Obj, old: Obj) -> list[FieldError]:
    """Everything may change. A time zone that does not change is accepted even if it is not known any more."""
    spec = new["spec"]
    same_zone = spec.get("timeZone") == old["spec"].get("timeZone")
    return _schedule(spec) + ([] if same_zone else _zone(spec)) + _rest(spec)


def _schedule(spec: Obj) -> list[FieldError]:
    schedule = spec.get("schedule")
    if not schedule:
        return [required("spec.schedule")]
    try:
        parse_schedule(schedule)
    except InvalidSchedule as error:
        return [invalid("spec.schedule", schedule, error.verbatim)]
    return []


def _zone(spec: Obj) -> list[FieldError]:
    name = spec.get("timeZone")
    if name is None:
        return []
    try:
        zone(name)
    except InvalidSchedule as error:
        return [invalid("spec.timeZone", name, error.verbatim)]
    return []


def _rest(spec: Obj) -> list[FieldError]:
    errors = [
        invalid(f"spec.{name}", spec[name], NOT_NEGATIVE)
        for name in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit")
        if spec.get(name) is not None and spec[name] < 0
    ]
    policy = spec["concurrencyPolicy"]
    if policy not in _POLICIES:
        errors.append(unsupported("spec.concurrencyPolicy", policy, _POLICIES))
    return errors + _template(spec["jobTemplate"]["spec"])


def _template(spec: Obj) -> list[FieldError]:
    """Check the template by the rules for its Jobs. It must have no selector: each Job gets its own."""
    job = copy.deepcopy(spec)
    default_job_spec(job)
    job["completions"] = spec.get("completions")  # the only default that depends on another field
    errors = [replace(error, field=f"spec.jobTemplate.{error.field}") for error in job_spec(job)]
    where = "spec.jobTemplate.spec"
    if spec.get("selector") is not None:
        errors.append(invalid(f"{where}.selector", spec["selector"], "`selector` will be auto-generated"))
    if spec.get("manualSelector"):
        errors.append(unsupported(f"{where}.manualSelector", True, ("nil", "false")))
    return errors

"""Rules about several fields of a request together, on its raw data: they are reported beside all other errors."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from events.problems import FieldError
from events.request.fields import MAX_TEXT
from events.request.strings import too_long

MAX_ECHO = 8192
"""Bytes of `tags` and `metadata` together, as JSON: they are repeated in every lifecycle event."""
MAX_ECHOED = 1000
"""Entries of `tags`, and of `metadata`."""
MAX_FAILOVER = 16_384
"""Bytes of `failover` as JSON: it is kept on the Job until that has ended."""
MAX_ANNOTATIONS = 16_384
"""Bytes of `job.annotations` together: they stand on the Job and on each of its pods."""

Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`broken` says what is wrong with an object: nothing at all, unless one of the fields that it `needs` is there."""

    needs: frozenset[str]
    broken: Callable[[Raw], Iterable[FieldError]]


def across(data: Raw) -> list[FieldError]:
    """Every combination that is not allowed. Fields of a wrong type are skipped: they have errors of their own."""
    found = [*_broken(data, OF_REQUEST), *_within(_object(data, "job"))]
    return [*found, *_failover(data)] if "failover" in data else found


def _broken(holder: Raw, rules: Iterable[Rule]) -> list[FieldError]:
    return [error for rule in rules if not rule.needs.isdisjoint(holder) for error in rule.broken(holder)]


def _within(job: Raw) -> list[FieldError]:
    return _broken(job, OF_JOB)


def _failover(data: Raw) -> Iterator[FieldError]:
    failover = _object(data, "failover")
    for error in _within(_object(failover, "job")):
        yield replace(error, path=f"failover.{error.path}")
    size = len(orjson.dumps(failover))
    if size > MAX_FAILOVER:
        yield FieldError("failover", f"is {size} bytes as JSON", allowed=f"{MAX_FAILOVER} bytes")


def _retries(data: Raw) -> Iterator[FieldError]:
    job = _object(data, "job")
    limit, retries = job.get("backoffLimit"), data.get("retries")
    if data.get("retryDelay") is not None:
        if not retries:
            yield FieldError("retryDelay", "needs retries: how many attempts may follow")
        for name in ("backoffLimit", "backoffLimitPerIndex"):
            if job.get(name) is not None:
                yield FieldError(f"job.{name}", "does not go with retryDelay: each attempt is a Job of its own")
    elif limit is not None and retries is not None and limit != retries:
        yield FieldError("retries", "differs from job.backoffLimit, which means the same: give one of them")


def queueing(data: Raw) -> Iterator[FieldError]:
    """The fields about the queue that do not go together."""
    limit = _object(data, "concurrency").get("limit")
    if data.get("exclusive") and limit not in (None, 1):
        yield FieldError("concurrency.limit", "does not go with exclusive, which means 1", allowed="1")
    if data.get("exclusive") and data.get("concurrency") is None and data.get("service") is None:
        yield FieldError("exclusive", "needs a concurrency.key, or a service to be alone in")
    dependencies = data.get("dependencies")
    if dependencies is None:
        for name in ("onDependencyFailure", "dependencyTimeout"):
            if data.get(name) is not None:
                yield FieldError(name, "needs dependencies")
    elif isinstance(dependencies, list) and data.get("id") is not None and data["id"] in dependencies:
        yield FieldError("dependencies", "name the request itself")


def _schedule(data: Raw) -> Iterator[FieldError]:
    if data.get("schedule") is None:
        for name in ("timeZone", "maxRuns", "concurrencyPolicy"):
            if data.get(name) is not None:
                yield FieldError(name, "needs schedule")
        return
    for name in ("runAt", "dependencies"):
        if data.get(name) is not None:
            yield FieldError("schedule", f"does not go with {name}")
    if data.get("payload") is not None:
        yield FieldError("payload", "does not go with schedule: its event is on each of its Jobs")


def _echo(data: Raw) -> Iterator[FieldError]:
    size = echo_size(data.get("tags"), data.get("metadata"))
    if size > MAX_ECHO:
        yield FieldError("metadata", f"tags and metadata are {size} bytes as JSON", allowed=f"{MAX_ECHO} bytes")


def echo_size(tags: object, metadata: object) -> int:
    """Bytes of both as JSON. Raises `TypeError` for what JSON cannot say."""
    echoed = [value for value in (tags, metadata) if value is not None]
    return len(orjson.dumps(echoed)) - 2 if echoed else 0


def _indexed(job: Raw) -> Iterator[FieldError]:
    completions = job.get("completions")
    if job.get("completionMode") == "Indexed":
        if completions is None:
            yield FieldError("job.completions", "is missing: completionMode Indexed needs it")
    else:
        for name in ("backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"):
            if job.get(name) is not None:
                yield FieldError(f"job.{name}", "needs completionMode Indexed")
    most = job.get("maxFailedIndexes")
    if most is not None and job.get("backoffLimitPerIndex") is None:
        yield FieldError("job.maxFailedIndexes", "needs backoffLimitPerIndex")
    if isinstance(most, int) and isinstance(completions, int) and most > completions:
        yield FieldError(
            "job.maxFailedIndexes", "is more than there are completions", allowed="at most job.completions"
        )
    yield from _success(job, completions)


def _success(job: Raw, completions: object) -> Iterator[FieldError]:
    for number, rule in _items(_object(job, "successPolicy"), "rules"):
        count = rule.get("succeededCount")
        if isinstance(count, int) and isinstance(completions, int) and count > completions:
            path = f"job.successPolicy.rules[{number}].succeededCount"
            yield FieldError(path, "is more than there are completions", allowed="at most job.completions")


def _policies(job: Raw) -> Iterator[FieldError]:
    policy = _object(job, "podFailurePolicy")
    if policy and job.get("podReplacementPolicy") == "TerminatingOrFailed":
        yield FieldError("job.podReplacementPolicy", "does not go with podFailurePolicy", allowed="Failed")
    for number, rule in _items(policy, "rules"):
        if rule.get("action") == "FailIndex" and job.get("backoffLimitPerIndex") is None:
            yield FieldError(f"job.podFailurePolicy.rules[{number}].action", "FailIndex needs backoffLimitPerIndex")
    if job.get("gpuNumber") is not None and job.get("gpuEnable") is None:
        yield FieldError("job.gpuNumber", "needs gpuEnable: true")


def _places(job: Raw) -> Iterator[FieldError]:
    mounts = [(f"job.volumes[{number}].mountPath", volume) for number, volume in _items(job, "volumes")]
    if isinstance(job.get("volume"), dict):
        mounts.append(("job.volume.mountPath", job["volume"]))
    if len(mounts) < 2:
        return
    places = [(where, volume["mountPath"]) for where, volume in mounts if isinstance(volume.get("mountPath"), str)]
    used = Counter(place for _, place in places)
    for where, place in places:
        if used[place] > 1:
            yield FieldError(where, "is the place of another volume too")


def _sizes(job: Raw) -> Iterator[FieldError]:
    size = sum(len(str(part).encode(errors="replace")) for pair in _object(job, "annotations").items() for part in pair)
    if size > MAX_ANNOTATIONS:
        yield FieldError("job.annotations", f"are {size} bytes", allowed=f"{MAX_ANNOTATIONS} bytes")


def _strings(job: Raw) -> Iterator[FieldError]:
    for error in too_long(job, longest=MAX_TEXT):
        yield replace(error, path=f"job.{error.path}")


def _object(holder: Raw, name: str) -> Raw:
    found = holder.get(name)
    return found if isinstance(found, dict) else {}


def _items(holder: Raw, name: str) -> list[tuple[int, Raw]]:
    """The objects in a list, each with its place in it."""
    found = holder.get(name)
    return [(place, one) for place, one in enumerate(found) if isinstance(one, dict)] if isinstance(found, list) else []


def _rule(broken: Callable[[Raw], Iterable[FieldError]], *needs: str) -> Rule:
    return Rule(frozenset(needs), broken)


OF_REQUEST = (
    _rule(_retries, "retries", "retryDelay"),
    _rule(queueing, "exclusive", "dependencies", "onDependencyFailure", "dependencyTimeout"),
    _rule(_schedule, "schedule", "timeZone", "maxRuns", "concurrencyPolicy"),
    _rule(_echo, "tags", "metadata"),
)
"""Rules about the data of a request, but for what is within `job`."""
OF_JOB = (
    _rule(_indexed, "completionMode", "backoffLimitPerIndex", "maxFailedIndexes", "successPolicy"),
    _rule(_policies, "podFailurePolicy", "gpuNumber"),
    _rule(_places, "volumes"),
    _rule(_sizes, "annotations"),
    _rule(_strings, "command", "args", "env"),
)
"""Rules about `job`, also that of a failover."""

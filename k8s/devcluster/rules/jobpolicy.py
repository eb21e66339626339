"""Which pod failure policies, success policies and limits per index the API accepts. Does not apply them."""

from collections.abc import Iterable
from typing import Any

from k8s.devcluster.errors import FieldError, duplicate, invalid, required, too_long, too_many, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.names import qualified_name

NOT_NEGATIVE = "must be greater than or equal to 0"
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS = ("In", "NotIn")
_STATUSES = ("False", "True", "Unknown")
_MOST_RULES = 20
_MOST_CODES = 255
_MOST_INDEXES_TEXT = 64 * 1024
_MANY = 100_000
_MOST_WHEN_MANY = 10_000


def policies(spec: Obj) -> list[FieldError]:
    errors = []
    if spec.get("podFailurePolicy") is not None:
        errors += _failure_policy(spec)
    if spec.get("successPolicy") is not None and spec["completionMode"] == "Indexed":
        errors += _success_policy(spec)
    return errors


def index_limits(spec: Obj) -> list[FieldError]:
    """`backoffLimitPerIndex` and `maxFailedIndexes` of an Indexed Job."""
    completions, most = spec.get("completions"), spec.get("maxFailedIndexes")
    where = "spec.maxFailedIndexes"
    if spec.get("backoffLimitPerIndex") is None:
        if most is None:
            return []
        return [required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")]
    errors = []
    if completions is not None and most is not None and most > completions:
        errors.append(invalid(where, most, "must be less than or equal to completions"))
    return errors + _limits_of_many(spec) if completions is not None and completions > _MANY else errors


def _limits_of_many(spec: Obj) -> list[FieldError]:
    errors = []
    if spec.get("maxFailedIndexes") is None:
        errors.append(required("spec.maxFailedIndexes", f"must be specified when completions is above {_MANY}"))
    why = f"must be less than or equal to {_MOST_WHEN_MANY} when completions are above {_MANY} and used with "
    errors += [
        invalid(f"spec.{name}", spec[name], f"{why}backoff limit per index")
        for name in ("maxFailedIndexes", "parallelism")
        if (spec.get(name) or 0) > _MOST_WHEN_MANY
    ]
    return errors


def _failure_policy(spec: Obj) -> list[FieldError]:
    errors = []
    template = spec["template"]["spec"]
    if template.get("restartPolicy") != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        errors.append(invalid("spec.template.spec.restartPolicy", template.get("restartPolicy", ""), why))
    names = {
        container.get("name") for place in ("initContainers", "containers") for container in template.get(place) or []
    }
    rules = spec["podFailurePolicy"].get("rules") or []
    where = "spec.podFailurePolicy.rules"
    if len(rules) > _MOST_RULES:
        return [*errors, too_many(where, len(rules), _MOST_RULES)]
    per_index = spec.get("backoffLimitPerIndex") is not None
    for number, rule in enumerate(rules):
        errors += _action(rule, f"{where}[{number}].action", per_index=per_index)
        errors += _rule(rule, f"{where}[{number}]", names)
    return errors


def _action(rule: Obj, where: str, *, per_index: bool) -> list[FieldError]:
    action = rule.get("action")
    if action == "FailIndex" and not per_index:
        return [invalid(where, action, "requires the backoffLimitPerIndex to be set")]
    return _one_of(action, _ACTIONS, where)


def _one_of(value: str | None, allowed: tuple[str, ...], where: str) -> list[FieldError]:
    if not value:
        return [required(where, f"valid values: [{' '.join(f'{chr(34)}{name}{chr(34)}' for name in allowed)}]")]
    return [] if value in allowed else [unsupported(where, value, allowed)]


def _rule(rule: Obj, where: str, names: set[Any]) -> list[FieldError]:
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions")
    errors = []
    if codes is not None:
        errors += _exit_codes(codes, f"{where}.onExitCodes", names)
    if conditions:
        errors += _conditions(conditions, f"{where}.onPodConditions")
    if (codes is None) is not bool(conditions):
        some = "both OnExitCodes and" if conditions else "one of OnExitCodes and"
        what = "is not supported" if conditions else "is required"
        message = f"Invalid value: specifying {some} OnPodConditions {what}"
        errors.append(FieldError("FieldValueInvalid", where, message))
    return errors


def _exit_codes(given: Obj, where: str, names: set[Any]) -> list[FieldError]:
    errors = _one_of(given.get("operator"), _OPERATORS, f"{where}.operator")
    name = given.get("containerName")
    if name is not None and name not in names:
        why = "must be one of the container or initContainer names in the pod template"
        errors.append(invalid(f"{where}.containerName", name, why))
    values = given.get("values") or []
    if not values:
        errors.append(invalid(f"{where}.values", [], "at least one value is required"))
    elif len(values) > _MOST_CODES:
        errors.append(too_many(f"{where}.values", len(values), _MOST_CODES))
    for number, value in enumerate(values):
        if value == 0 and given.get("operator") == "In":
            why = "must not be 0 for the In operator"
            errors.append(invalid(f"{where}.values[{number}]", value, why))
        if value in values[:number]:
            errors.append(duplicate(f"{where}.values[{number}]", value))
    if values != sorted(values):
        errors.append(invalid(f"{where}.values", values, "must be ordered"))
    return errors


def _conditions(patterns: list[Obj], where: str) -> list[FieldError]:
    if len(patterns) > _MOST_RULES:
        return [too_many(where, len(patterns), _MOST_RULES)]
    errors = []
    for number, pattern in enumerate(patterns):
        kind = pattern.get("type") or ""
        errors += [invalid(f"{where}[{number}].type", kind, message) for message in qualified_name(kind)]
        errors += _one_of(pattern.get("status"), _STATUSES, f"{where}[{number}].status")
    return errors


def _success_policy(spec: Obj) -> list[FieldError]:
    rules, where = spec["successPolicy"].get("rules") or [], "spec.successPolicy.rules"
    if not rules:
        return [required(where, "at least one rules must be specified when the successPolicy is specified")]
    if len(rules) > _MOST_RULES:
        return [too_many(where, len(rules), _MOST_RULES)]
    errors = []
    for number, rule in enumerate(rules):
        errors += _success_rule(rule, f"{where}[{number}]", spec.get("completions") or 0)
    return errors


def _success_rule(rule: Obj, where: str, completions: int) -> list[FieldError]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        return [required(where, "at least one of succeededCount or succeededIndexes must be specified")]
    errors = []
    most = f"{completions} (the number of specified completions)"
    limit = completions
    if indexes is not None:
        if len(indexes) > _MOST_INDEXES_TEXT:
            errors.append(too_long(f"{where}.succeededIndexes", _MOST_INDEXES_TEXT))
        try:
            limit = _length(indexes.split(",") if indexes else (), completions)
        except ValueError as error:
            why = f"error parsing succeededIndexes: {error}"
            errors.append(invalid(f"{where}.succeededIndexes", indexes, why))
        else:
            most = f"{limit} (the number of indexes in the specified succeededIndexes field)"
    if count is not None and count < 0:
        errors.append(invalid(f"{where}.succeededCount", count, NOT_NEGATIVE))
    if count is not None and count > limit:
        errors.append(invalid(f"{where}.succeededCount", count, f"must be less than or equal to {most}"))
    return errors


def _length(intervals: Iterable[str], completions: int) -> int:
    """How many indexes a text such as `1,3-5` names. ValueError: not in order, or an index that does not exist."""
    total, last = 0, -1
    for interval in intervals:
        parts = interval.split("-")
        if len(parts) > 2:
            why = "violates the requirement that an index interval can have at most two parts separated by '-'"
            raise ValueError(f'the fragment "{interval}" {why}')
        ends = [_index(part, completions) for part in parts]
        for index in ends:
            if index <= last:
                raise ValueError(f"non-increasing order, previous: {last}, current: {index}")
            last = index
        total += ends[-1] - ends[0] + 1
    return total


def _index(text: str, completions: int) -> int:
    if not text.isascii() or not text.isdigit():
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise ValueError(f'too large index: "{text}"')
    return int(text)

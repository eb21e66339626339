"""Plans an import: compares the definitions of a file with the CronJobs that exist. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import InvalidEvent, decode_structured
from events.identity import request_sha
from events.names import Annotation
from events.problems import path_of
from handler.commands.imports.definitions import Definition, DefinitionSet
from k8s.base import Manifest


class Action(StrEnum):
    """What becomes of one definition."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    UNCHANGED = "unchanged"
    KEEP = "keep"
    """It is not in the file, but nothing is to be removed."""


CHANGES = frozenset({Action.CREATE, Action.UPDATE, Action.REMOVE})
"""The actions that change something in the cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """A CronJob of this set. `id`: of its definition. `sha`: the hash of its request, if it has any."""

    id: str
    name: str
    deleting: bool
    sha: str | None
    data: Any
    """The data of its request; None if they cannot be read."""

    def difference(self, wanted: Definition, source: str) -> list[str]:
        """Paths of what differs from the wanted definition; empty if nothing does. Never a value."""
        if self.sha == request_sha(wanted.event(source)):
            return []
        return difference(self.data, wanted.data) if isinstance(self.data, dict) else ["data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What happens to a definition. `wanted`: as in the file, if it is there. `changed`: paths of what will differ."""

    action: Action
    id: str
    wanted: Definition | None = None
    existing: Sequence[Existing] = ()
    changed: Sequence[str] = ()

    @property
    def recurs(self) -> Mapping[str, Any]:
        """The data that say when it runs: those of the file or, if it is not in the file, those of its CronJob."""
        if self.wanted is not None:
            return self.wanted.data
        return next((cron_job.data for cron_job in self.existing if isinstance(cron_job.data, dict)), {})


def plan(wanted: DefinitionSet, existing: Mapping[str, Sequence[Existing]], *, prune: bool) -> list[Step]:
    """The steps for the definitions of the file, in its order, then those for the others, by id.

    `existing`: the CronJobs by the id of their definition.
    """
    steps = [_step(definition, existing.get(definition.id, ()), wanted.source) for definition in wanted.definitions]
    known = {definition.id for definition in wanted.definitions}
    action = Action.REMOVE if prune else Action.KEEP
    rest = sorted(name for name, found in existing.items() if name not in known and _lasting(found))
    return steps + [Step(action=action, id=name, existing=existing[name]) for name in rest]


def _step(wanted: Definition, existing: Sequence[Existing], source: str) -> Step:
    here = _lasting(existing)
    changed = list(dict.fromkeys(path for cron_job in here for path in cron_job.difference(wanted, source)))
    action = Action.UPDATE if changed else Action.UNCHANGED if here else Action.CREATE
    return Step(action=action, id=wanted.id, wanted=wanted, existing=existing, changed=changed)


def _lasting(existing: Sequence[Existing]) -> list[Existing]:
    return [cron_job for cron_job in existing if not cron_job.deleting]


def existing_by_id(manifests: Iterable[Manifest], source: str) -> dict[str, list[Existing]]:
    """The CronJobs of this source by the id of their definition. Those with the same id are in several namespaces."""
    found: defaultdict[str, list[Existing]] = defaultdict(list)
    for manifest in manifests:
        metadata = manifest["metadata"]
        annotations = metadata.get("annotations", {})
        if annotations.get(Annotation.SOURCE) != source or Annotation.ID not in annotations:
            continue
        event = _event_of(manifest)
        found[annotations[Annotation.ID]].append(
            Existing(
                id=annotations[Annotation.ID],
                name=f"{metadata['namespace']}/{metadata['name']}",
                deleting="deletionTimestamp" in metadata,
                sha=annotations.get(Annotation.REQUEST_SHA),
                data=event.get_data() if event is not None else None,
            )
        )
    return dict(found)


def _event_of(manifest: Manifest) -> CloudEvent | None:
    """The event that its runs get; None if a user has made it unreadable."""
    template = manifest["spec"]["jobTemplate"]["spec"]["template"]
    text = template.get("metadata", {}).get("annotations", {}).get(Annotation.EVENT, "")
    try:
        return decode_structured(text.encode())
    except InvalidEvent:
        return None


def difference(old: Any, new: Any, place: Sequence[str | int] = ()) -> list[str]:
    """Paths of what differs between two JSON values. Null is the same as nothing, as it is in a request.

    Paths into a list whose items have names, such as `env`, have the name of the item.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        inner: Iterable[str | int] = dict.fromkeys([*old, *new])
        return [path for key in inner for path in difference(old.get(key), new.get(key), (*place, key))]
    if isinstance(old, list) and isinstance(new, list):
        return _of_lists(old, new, place)
    return [] if _same(old, new) else [path_of(place)]


def _of_lists(old: list[Any], new: list[Any], place: Sequence[str | int]) -> list[str]:
    known, wanted = _by_name(old), _by_name(new)
    found = []
    if known is not None and wanted is not None:
        names = dict.fromkeys([*known, *wanted])
        found = [path_of((*place, name)) for name in names if not _same(known.get(name), wanted.get(name))]
    elif len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        found = [path for number, (was, will) in pairs for path in difference(was, will, (*place, number))]
    # No item differs: the order does, or how many there are.
    return found or ([] if _same(old, new) else [path_of(place)])


def _by_name(values: list[Any]) -> dict[str, Any] | None:
    """The items by name; None unless each has a name of its own."""
    names = [value.get("name") if isinstance(value, dict) else None for value in values]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return dict(zip(map(str, names), values, strict=True))


def _same(old: Any, new: Any) -> bool:
    """Whether they are the same as JSON: in Python, 1 equals True."""
    return orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(new, option=orjson.OPT_SORT_KEYS)

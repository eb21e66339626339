"""What `jobrelay import` has to do: what a file wants against what the cluster has. Pure: changes and reads nothing."""

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
    """It is not in the file, and that does not count."""


CHANGES = frozenset({Action.CREATE, Action.UPDATE, Action.REMOVE})
"""Those that make a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A CronJob of this set. `data`: that of the request it was made for; None when it cannot be read.

    `going`: it is being deleted.
    """

    id: str
    name: str
    going: bool
    sha: str | None
    data: Any

    def difference(self, wanted: Definition, source: str) -> list[str]:
        """Paths of what it would be asked for otherwise; empty when it is as wanted. Never a value."""
        if self.sha == request_sha(wanted.event(source)):
            return []
        return difference(self.data, wanted.data) if isinstance(self.data, dict) else ["data"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the plan. `wanted` is None for what the file has not, `held` empty for what the cluster has not."""

    action: Action
    id: str
    wanted: Definition | None = None
    held: Sequence[Held] = ()
    changed: Sequence[str] = ()

    @property
    def recurs(self) -> Mapping[str, Any]:
        """The data that says when it runs: as it will be, of what goes as it was."""
        if self.wanted is not None:
            return self.wanted.data
        return next((one.data for one in self.held if isinstance(one.data, dict)), {})


def plan(wanted: DefinitionSet, held: Mapping[str, Sequence[Held]], *, prune: bool) -> list[Step]:
    """In the order of the file; then, by their ids, those that are not in it. `held`: see `held_by_id`."""
    steps = [_step(one, held.get(one.id, ()), wanted.source) for one in wanted.definitions]
    known = {one.id for one in wanted.definitions}
    action = Action.REMOVE if prune else Action.KEEP
    rest = sorted(name for name, found in held.items() if name not in known and not all(one.going for one in found))
    return steps + [Step(action=action, id=name, held=held[name]) for name in rest]


def _step(wanted: Definition, held: Sequence[Held], source: str) -> Step:
    here = [one for one in held if not one.going]
    changed = list(dict.fromkeys(path for one in here for path in one.difference(wanted, source)))
    action = Action.UPDATE if changed else Action.UNCHANGED if here else Action.CREATE
    return Step(action=action, id=wanted.id, wanted=wanted, held=held, changed=changed)


def held_by_id(manifests: Iterable[Manifest], source: str) -> dict[str, list[Held]]:
    """The CronJobs of this source; several of one id only if they are in several namespaces."""
    found: defaultdict[str, list[Held]] = defaultdict(list)
    for manifest in manifests:
        metadata = manifest["metadata"]
        notes = metadata.get("annotations", {})
        if notes.get(Annotation.SOURCE) != source or Annotation.ID not in notes:
            continue
        event = _event_of(manifest)
        found[notes[Annotation.ID]].append(
            Held(
                id=notes[Annotation.ID],
                name=f"{metadata['namespace']}/{metadata['name']}",
                going="deletionTimestamp" in metadata,
                sha=notes.get(Annotation.REQUEST_SHA),
                data=event.get_data() if event is not None else None,
            )
        )
    return dict(found)


def _event_of(manifest: Manifest) -> CloudEvent | None:
    """The event of each of its runs; None when somebody has made it unreadable."""
    template = manifest["spec"]["jobTemplate"]["spec"]["template"]
    text = template.get("metadata", {}).get("annotations", {}).get(Annotation.EVENT, "")
    try:
        return decode_structured(text.encode())
    except InvalidEvent:
        return None


def difference(old: Any, new: Any, place: Sequence[str | int] = ()) -> list[str]:
    """Paths of what is not the same in two JSON values. Null is the same as nothing, as it is in a request.

    Of lists of things with names, such as `env`, it says which by their names.
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
    # What is left is their order, or that there are more or fewer.
    return found or ([] if _same(old, new) else [path_of(place)])


def _by_name(values: list[Any]) -> dict[str, Any] | None:
    names = [one.get("name") if isinstance(one, dict) else None for one in values]
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        return None
    return dict(zip(map(str, names), values, strict=True))


def _same(old: Any, new: Any) -> bool:
    """As JSON: to Python, 1 is true."""
    return orjson.dumps(old, option=orjson.OPT_SORT_KEYS) == orjson.dumps(new, option=orjson.OPT_SORT_KEYS)

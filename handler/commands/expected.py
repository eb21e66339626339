"""Which requests published events will make: what `submit --watch` waits for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cloudevents.core.v1.event import CloudEvent

from events.functions.file import InvalidFunctions
from events.functions.functions import matching, subject_of
from events.names import REQUESTED_TYPE
from handler.commands.errors import Misuse

Made = Mapping[tuple[str, str], Sequence[str]]
"""The ids of the requests that each event for functions makes, by the source and id of the event."""

_UNKNOWN = (
    "--watch has to know the functions that take an event: name each with --function NAME, or their file with "
    "--functions FILE or JOBRELAY_FUNCTIONS"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known of the functions: names, which are then taken to be those of every event, else the file of all."""

    names: tuple[str, ...] = ()
    file: Path | None = None

    def requests(self, events: Sequence[CloudEvent], *, judge: bool) -> Made:
        """The requests that each event for functions makes. Job requests are left out.

        Raises `Misuse` where that is not known and, with `judge`, for an event that no function takes. Without it, such
        an event has no request.
        """
        wanted = [event for event in events if event.get_type() != REQUESTED_TYPE]
        if not wanted:
            return {}
        if self.names:
            return {_name(event): [f"{name}/{event.get_id()}" for name in self.names] for event in wanted}
        if self.file is None:
            raise Misuse(_UNKNOWN)
        from handler.intake.functions import read

        try:
            functions = read(self.file, ())
        except InvalidFunctions as error:
            raise Misuse(str(error)) from error
        found = {_name(event): [subject_of(one, event) for one in matching(functions, event)] for event in wanted}
        lost = [event_id for (_, event_id), ids in found.items() if not ids]
        if lost and judge:
            raise Misuse(f"not published: no function in {self.file} takes {', '.join(lost)}")
        return found


def _name(event: CloudEvent) -> tuple[str, str]:
    return event.get_source(), event.get_id()

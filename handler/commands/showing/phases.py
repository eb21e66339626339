"""The colour in which each phase is shown."""

from collections.abc import Mapping

from rich.text import Text

from events.phases import Phase
from handler.operations.sentences import ENDING
from handler.operations.wording import clean

STYLES: Mapping[str, str] = {
    Phase.CREATED: "cyan",
    Phase.QUEUED: "cyan",
    Phase.STARTED: "blue",
    Phase.PROGRESS: "blue",
    Phase.STALLED: "yellow",
    Phase.RETRYING: "yellow",
    Phase.SUSPENDED: "magenta",
    Phase.RESUMED: "blue",
    Phase.SUCCEEDED: "green",
    Phase.FAILED: "red",
    Phase.CANCELLED: "magenta",
    Phase.REJECTED: "red",
    Phase.SCHEDULED: "cyan",
    Phase.UNSCHEDULED: "magenta",
    ENDING: "magenta",
}
"""By phase, by rich's names: every phase of this version; a later version may have others."""


def phase_text(phase: str) -> Text:
    """A phase in its colour; a phase that only a later version knows has none."""
    return Text(clean(phase), style=STYLES.get(phase, ""))

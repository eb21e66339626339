"""What is posted to the JSON API, as models."""

from typing import Annotated, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from handler.console.actions.bulk import MOST, Selection
from handler.console.actions.letters import Chosen
from handler.console.http.parameters import body_of
from handler.console.http.problems import Fault, Problem
from handler.console.views.asked import Asked

MAX_SETS = 100
"""Changes of a request that is run again."""
MAX_SET = 4096
"""Characters of one."""
_Number = Annotated[int, Field(ge=0, lt=1 << 63)]


P = TypeVar("P", bound=BaseModel)


class Posted(BaseModel):
    """A body."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, hide_input_in_errors=True)


class Asking(Posted):
    """One action. A repeat of its event id is the same action, so that it may be sent again without harm."""

    event_id: str | None = Field(default=None, description="By default a new one.")


class AskingAgain(Asking):
    """A request that is run again under a new id."""

    sets: Annotated[list[Annotated[str, Field(max_length=MAX_SET)]], Field(max_length=MAX_SETS)] = Field(
        default_factory=list,
        description="Changes inside `job`, each `path=value`, such as `image=busybox:2` or `env.NAME=value`.",
    )


class AskingLetter(Asking):
    """An action on a dead letter."""

    digest: str | None = Field(
        default=None,
        description="Of its body, so that no other letter with its number is meant. By default whichever has it.",
    )


class LetterChosen(Posted):
    """A dead letter, as the list of them has it."""

    broker: str
    number: _Number
    digest: str


class AskingSeveral(Posted):
    """First `verb` with `numbers` or `letters`: answered by a plan, whose `token` carries it out when it is sent."""

    verb: str | None = Field(
        default=None, description="`cancel`, `suspend`, `resume` of requests; `replay`, `drop` of dead letters."
    )
    numbers: Annotated[list[_Number], Field(max_length=MOST)] | None = Field(default=None, description="Of requests.")
    letters: Annotated[list[LetterChosen], Field(max_length=MOST)] | None = None
    token: str | None = Field(default=None, description="Of the plan. Nothing else goes with it.")

    def selection(self) -> Selection:
        """What was chosen. Raises `Problem` where there is no verb."""
        if self.verb is None:
            fault = Fault(path="verb", message="is missing, or else the token of a plan")
            raise Problem(400, "INVALID_PARAMETERS", "The action cannot be planned.", errors=[fault])
        letters = [Chosen(broker=one.broker, number=one.number, digest=one.digest) for one in self.letters or ()]
        return Selection(verb=self.verb, numbers=self.numbers or (), letters=letters)


class SubmitQuery(Asked):
    """How a request is to be taken."""

    dry_run: bool = Field(default=False, description="Tell what is wrong with it, and publish nothing.")


class LetterQuery(Asked):
    """Which dead letter."""

    broker: str | None = Field(default=None, description="Where it is; needed where several brokers are connected.")


class ScheduleQuery(Asked):
    """Which schedule, where several have its id."""

    source: str | None = Field(default=None, description="The `source` of the event that asked for it.")
    job: str | None = Field(default=None, description="`namespace/name` of its CronJob.")


async def optional_body(request: web.Request, model: type[P]) -> P:
    """The body as this model; where there is none, the model without anything. Raises `Problem`."""
    return await body_of(request, model) if request.can_read_body else model()

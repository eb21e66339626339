"""What the page shows, and what the JSON API answers: names in camelCase, times in RFC 3339, durations in seconds."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


class Error(Model):
    """Why a request failed."""

    error_code: str | None = None
    message: str | None = None


class Amounts(Model):
    """Cores and bytes."""

    cpu: float | None = None
    memory: int | None = None


class RequestRow(Model):
    """A request in a list. A schedule is one, too: its phase is `scheduled`, then `unscheduled`."""

    number: int = Field(description="Tells it from others with its id; names it in paths.")
    id: str
    source: str
    cause: str = Field(description="The id of the event that asked for it.")
    function: str | None = None
    service: str | None = None
    phase: str
    reason: str | None = Field(None, description="What it waits for, or the error code of its stall.")
    says: str = Field("", description="Why it is as it is, as a line for people.")
    terminal: bool = False
    attempt: int = 1
    namespace: str | None = None
    job: str | None = None
    image: str | None = None
    cpu: float | None = None
    memory: int | None = None
    gpus: int | None = None
    priority: int | None = None
    event_time: str | None = None
    created: str | None = None
    started: str | None = None
    finished: str | None = None
    updated: str | None = None
    duration: float | None = Field(None, description="From its start to its end, or until now.")
    exit_code: int | None = None
    error: Error | None = None
    peaks: Amounts = Amounts()
    replay_of: str | None = None


class RequestPage(Model):
    """Requests, those that changed last first. `next`: the parameter `after` of the page that follows."""

    requests: list[RequestRow]
    next: str | None = None
    position: int = Field(description="Of the record: a stream that begins after it misses nothing.")


class Summary(Model):
    """What there is in all. `totals`: of the last 24 hours, by phase: created, rejected, and ends.

    `now`: how many are running, waiting, stalled and suspended; one that is `most` may be more.
    """

    totals: dict[str, int]
    now: dict[str, int]
    most: int


class Log(Model):
    """What there is of a container's log."""

    container: str
    state: str
    bytes: int = 0
    left_out: int = 0
    where: str | None = None
    reason: str | None = None
    read: str | None = None


class Pod(Model):
    """A pod of a request, and the logs that were kept of it."""

    uid: str
    name: str
    namespace: str
    node: str | None = None
    index: int | None = None
    attempt: int | None = None
    started: str | None = None
    finished: str | None = None
    exit_code: int | None = None
    reason: str | None = None
    live: bool = Field(False, description="Whether the cluster has it now.")
    containers: list[str] = Field(default_factory=list, description="Those whose log can be asked for.")
    logs: list[Log] = Field(default_factory=list)


class Told(Model):
    """A recorded lifecycle event."""

    position: int
    id: str
    phase: str
    time: str | None
    says: str = Field(description="What it says, as a line for people.")
    event: Any = Field(description="The structured CloudEvent.")


class EventPage(Model):
    """Events of a request in the order of recording. `next`: the parameter `after` of the page that follows."""

    events: list[Told]
    next: int | None = None


class PodList(Model):
    """Pods of a request, oldest first. `problems`: why something may be missing."""

    pods: list[Pod]
    problems: list[str] = Field(default_factory=list)


class RequestDetail(RequestRow):
    """A request whole."""

    tags: list[str]
    result: Any = None
    trace_id: str | None = None
    place: int | None = Field(None, description="In the queue, as its last event told it.")
    runs: list[RequestRow] = Field(default_factory=list, description="Of a schedule: its last runs.")
    may: list[str] = Field(
        default_factory=list, description="What can be asked of it now: cancel, suspend, resume, again."
    )
    position: int = Field(description="Of the record: a stream that begins after it misses nothing.")


class LogText(Model):
    """A log as text. `origin`: `live` from the cluster, `history`, or `none`. `note`: where it is from, or why not."""

    pod: str
    container: str
    origin: str
    text: str
    note: str = ""


class Lane(Model):
    """How many messages of a topic wait, and how many are delivered but not settled."""

    broker: str
    topic: str
    ready: int
    unsettled: int


class Waiting(Model):
    """A request that waits. `place`: as its last event told it."""

    request: RequestRow
    place: int | None = None


class WaitingFor(Model):
    """Requests that wait for the same, in the order of their places. `more`: there are others than those shown.

    `count`: how many, of those that were looked at.
    """

    reason: str
    says: str
    count: int
    requests: list[Waiting]
    more: bool = False


class Queue(Model):
    """What waits, at the brokers and on the cluster. `problems`: what could not be asked."""

    lanes: list[Lane]
    waiting: list[WaitingFor]
    stalled: list[RequestRow]
    more_stalled: bool = False
    lag: float | None = Field(
        None, description="Seconds that the record is behind the brokers, where this process records."
    )
    problems: list[str] = Field(default_factory=list)


class Schedule(Model):
    """A schedule as the cluster has it."""

    id: str
    source: str
    service: str | None = None
    namespace: str
    cron_job: str
    cron: str
    time_zone: str | None = None
    suspended: bool = False
    over: bool = False
    last_run: str | None = None
    last_outcome: str | None = None
    next_run: str | None = None
    runs: int = 0
    max_runs: int | None = None
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0


class ScheduleList(Model):
    """Schedules, oldest first. `problems`: namespaces that could not be read."""

    schedules: list[Schedule]
    problems: list[str] = Field(default_factory=list)


class Letter(Model):
    """A dead letter. `digest`: of its body, which tells it from another letter with its number."""

    broker: str
    number: int
    digest: str
    time: str
    topic: str
    code: str
    reason: str
    id: str | None = None
    source: str | None = None
    type: str | None = None
    attempts: str = ""
    replays: int = 0


class LetterDetail(Letter):
    """A dead letter whole: `body` where it is text, else `bodyBase64`."""

    origin: str = Field("", description="The broker's name of the message that it was.")
    headers: dict[str, str]
    size: int
    body: str | None = None
    body_base64: str | None = None


class LetterPage(Model):
    """Dead letters, oldest first. `problems`: brokers that could not be asked.

    `more`: there are others, behind those that were looked at.
    """

    letters: list[Letter]
    more: bool = False
    problems: list[str] = Field(default_factory=list)


class Spread(Model):
    """Seconds: on the average, and those that half and 95 % of the requests did not exceed."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None


class Sum(Model):
    """What the requests of a service came to in a day or an hour.

    `wait`: from created to started. `run`: of those that ended.
    """

    since: str
    service: str
    created: int
    rejected: int
    succeeded: int
    failed: int
    cancelled: int
    failed_share: float | None = Field(None, description="Of those that ended, from 0 to 1.")
    wait: Spread = Spread()
    run: Spread = Spread()
    cpu_hours: float = 0.0


class Stats(Model):
    """Sums of each service, newest first. `services`: each over the whole time. `steps`: of all services together.

    `totals`: by phase, over all. `more`: the oldest of `sums`, or the services that were asked least, were left out;
    `steps` and `totals` have them.
    """

    since: str
    until: str
    step: str
    sums: list[Sum]
    services: list[Sum]
    steps: list[Sum]
    totals: dict[str, int]
    more: bool = False


class Audited(Model):
    """Who asked for what, and what came of it."""

    id: str
    time: str
    actor: str | None = None
    verb: str | None = None
    request: str | None = None
    outcome: str
    code: str | None = None


class Audit(Model):
    """Newest first. `next`: the parameter `after` of the page that follows.

    Where only some are asked for, a page may have fewer than its limit, even none, and yet a `next`.
    """

    actions: list[Audited]
    next: str | None = None


class Me(Model):
    """Who asks, and what they may do."""

    name: str
    operator: bool
    read_only: bool


class Accepted(Model):
    """An action was published, as the event of this id."""

    event_id: str
    href: str = Field(description="The page that shows what becomes of it, without the base path.")
    answer: str = Field(description="Where the API tells what became of it, below its server's URL.")


class Mistake(Model):
    """What is wrong with a field or an attribute of a request. Quotes no values."""

    path: str = Field(description="Where it is, such as `job.env[0].name`; empty for the whole.")
    message: str
    allowed: str | None = Field(default=None, description="What it may be.")


class Judgement(Model):
    """What the handler would refuse of a request, as far as that is known without its policy. Nothing was published."""

    errors: list[Mistake]


class Planned(Model):
    """One of several that an action is asked of. `applies`: it will be asked of this one; else `why` not."""

    number: int
    broker: str | None = Field(default=None, description="Of a dead letter.")
    id: str = ""
    service: str | None = None
    phase: str | None = None
    applies: bool
    why: str | None = None


class Plan(Model):
    """What an action on several would do. Nothing is done until the token is sent, by the same person."""

    verb: str
    items: list[Planned]
    count: int = Field(description="Of how many it will be asked.")
    token: str | None = Field(default=None, description="Null if it applies to none.")
    expires: str | None = None


class AcceptedItem(Accepted):
    """One of several. `number`: of the request or the dead letter."""

    number: int


class AcceptedList(Model):
    """Actions were published, an event for each."""

    accepted: list[AcceptedItem]


class Made(Model):
    """A request that an event has made."""

    number: int
    id: str
    phase: str


class Answer(Model):
    """What became of an action. `state`: `pending` until its answer is recorded, then `accepted` or `rejected`."""

    event_id: str
    state: str
    code: str | None = None
    verb: str | None = None
    request: str | None = Field(default=None, description="The id of the request, or the number of the dead letter.")
    requests: list[Made] = Field(default_factory=list, description="Those that a submitted event has made.")

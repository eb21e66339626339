"""Names that are stored in Kubernetes and in brokers. They cannot be changed without deleting Jobs or queues."""

from enum import StrEnum

FORMAT_VERSION = 1
"""Written as annotation `jobrelay.dev/version`, a whole number.

A Job with a smaller number, or with none, is understood: what a format adds is absent there. A Job with a larger number
is left alone and counted. The stored examples in tests/formats/ hold this version to that, and every later version.
"""

DOMAIN = "jobrelay.dev"
FINALIZER = f"{DOMAIN}/lifecycle"
MANAGED_BY = "jobrelay"
PAYLOAD_PREFIX = "jobrelay-payload-"
"""What the names of Secrets with events begin with: the name of their Job follows. No policy lets a request name one.

Earlier versions gave such a Secret the name of its Job. Their Jobs are served as long as there are some.
"""
EPHEMERAL = "jobrelay-ephemeral-"
"""What a request's ephemeral volumes are called, before a number. Their claims are `<pod>-<name of the volume>`."""
DEFAULT_INSTANCE = "jobrelay"


class Label:
    """Labels of Jobs, their Pods, and CronJobs. Plain strings, not an enum: they are keys of what is sent as JSON.

    `SCHEDULE` is on the runs of a schedule, with the value that `REQUEST` has on its CronJob. `NAME` and `APP` hold the
    service; where the installation leaves them away, `SERVICE` does.
    """

    MANAGED_BY = "app.kubernetes.io/managed-by"
    NAME = "app.kubernetes.io/name"
    APP = "app"
    INSTANCE = f"{DOMAIN}/instance"
    REQUEST = f"{DOMAIN}/request"
    SCHEDULE = f"{DOMAIN}/schedule"
    SERVICE = f"{DOMAIN}/service"


class Annotation:
    """Annotations of Jobs and CronJobs.

    `EVENT` stands on the pod template and holds the structured event. `MAX_RUNS` and `RUNS` are a CronJob's, `RUN` is
    on each Job that it makes, `COMMAND` on one that a control event asked for: the hash of that event's source and id,
    which the id of its answer holds, too. `JOB` stands on the pod template too, which nobody can change:
    `<namespace>/<name>` of the Job or CronJob that the template was made for. With it the template repeats `ID`,
    `SOURCE`, `ATTEMPT` and `RUN`.
    """

    VERSION = f"{DOMAIN}/version"
    ID = f"{DOMAIN}/id"
    SOURCE = f"{DOMAIN}/source"
    REQUEST_SHA = f"{DOMAIN}/request-sha"
    CONTEXT = f"{DOMAIN}/event-context"
    REPLY_TO = f"{DOMAIN}/reply-to"
    BROKER = f"{DOMAIN}/broker"
    TTL = f"{DOMAIN}/ttl-seconds-after-finished"
    START_TIMEOUT = f"{DOMAIN}/start-timeout"
    TIMEOUT = f"{DOMAIN}/timeout"
    TAGS = f"{DOMAIN}/tags"
    METADATA = f"{DOMAIN}/metadata"
    PAYLOAD = f"{DOMAIN}/payload"
    RELEASED = f"{DOMAIN}/released"
    SUSPENDED_BY = f"{DOMAIN}/suspended-by"
    STARTED = f"{DOMAIN}/started"
    VERDICT = f"{DOMAIN}/verdict"
    QUEUEING = f"{DOMAIN}/queueing"
    QUEUED = f"{DOMAIN}/queued"
    DEPENDENCIES = f"{DOMAIN}/dependencies"
    RETRY = f"{DOMAIN}/retry"
    ATTEMPT = f"{DOMAIN}/attempt"
    ACCEPTED = f"{DOMAIN}/accepted"
    FAILOVER = f"{DOMAIN}/failover"
    MAX_RUNS = f"{DOMAIN}/max-runs"
    RUNS = f"{DOMAIN}/runs"
    RUN = f"{DOMAIN}/run"
    COMMAND = f"{DOMAIN}/command"
    EVENT = f"{DOMAIN}/event"
    JOB = f"{DOMAIN}/job"


BY_FUNCTION = "function"
"""Value of annotation `suspended-by` where a function's manifest says `suspend: true`: it waits for a `resume`."""

BY_KUEUE = "kueue"
"""Value of annotation `suspended-by` where Kueue has stopped a Job that ran, and reason of `queued` before that."""

QUEUED_AT_CREATION = "created"
"""Value of annotation `queued`: it waits since its creation. Any other value is a time: since its resumption."""

NEW_RUN = "new"
"""Value of annotation `run` of a Job that Kubernetes has made for a schedule, before it is ours: it has no finalizer
and no request id of its own yet. Afterwards the value is its scheduled time.
"""


class Payload(StrEnum):
    """Values of annotation `payload`. Absent: the event is inline, in the pod template."""

    PENDING = "pending"


class Reason(StrEnum):
    """Why a Job waits for admission: `reason` of its `queued` event, and the suffix of that event's id.

    Of a Job that waits for Kueue it is `BY_KUEUE`.
    """

    LIMIT = "limit"
    """A limit leaves no room for it."""
    PRIORITY = "priority"
    """There is room, but it is reserved for a Job that comes first."""
    EXCLUSIVE = "exclusive"
    """Only a Job that must run alone is in the way: this Job itself, or an active Job."""
    DEPENDENCIES = "dependencies"
    RUN_AT = "runAt"
    RETRY_DELAY = "retryDelay"


JOB_TYPE = "dev.jobrelay.job"
"""Prefix of lifecycle event types, and of the request's: `dev.jobrelay.job.requested`."""
REQUESTED_TYPE = f"{JOB_TYPE}.requested"
CONTROL_TYPE = "dev.jobrelay.control"
"""Prefix of control events' types (`cancel`, `run` and others) and of their answers (`accepted`, `rejected`)."""

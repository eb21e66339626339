"""Every metric of jobrelay, those of the history and the page beside this. Label values are bounded: never an id or a
name of a request.
"""

from collections.abc import Collection
from enum import StrEnum

from prometheus_client import Gauge, PlatformCollector, ProcessCollector

from adapters.registry import BROKER_NAMES
from events.contract.codes import codes_told, verdicts_told
from events.jobs.observed import Stray
from events.names import Reason
from events.phases import Phase
from events.request.control import ACCEPTED, REJECTED, ControlVerb
from handler import version
from handler.telemetry.families import CALL
from handler.telemetry.history import HistoryMetrics
from handler.telemetry.page import PageMetrics

TOPICS = ("requests", "requests.high", "requests.low", "control", "dead")
STORES = ("requests", "lifecycle", "dead")
_QUEUES = {"broker": BROKER_NAMES, "topic": TOPICS}
REFUSALS = codes_told(Phase.REJECTED)
"""Why a request becomes no Job: `errorCode` of `rejected` events."""
VERDICTS = (*verdicts_told(Phase.CANCELLED), *verdicts_told(Phase.FAILED))
QUEUED_FOR = tuple(map(str, Reason))
"""Why a Job waits for admission."""
PHASES = ("pending", "running", "queued", "suspended", "finishing")
"""Of a Job that is followed."""
_WAIT = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
_LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WHOLE = (1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0)
"""For differences to times of Kubernetes, which are whole seconds."""


class Deferral(StrEnum):
    """Why a request is put back for later."""

    QUOTA = "quota"
    NEWER_FORMAT = "newer_format"
    DELETION = "deletion"
    UNAVAILABLE = "unavailable"
    NAMESPACE = "namespace"
    HANGING = "hanging"
    SHARE = "share"
    REPLY = "reply"


class Metrics(HistoryMetrics, PageMetrics):
    """The metrics of one process."""

    def __init__(self, *, role: str = "both") -> None:
        super().__init__()
        self._requests()
        self._events()
        self._controller()
        self.declare_history()
        self.declare_page()
        self._process(role)

    def expect(self, broker: str) -> None:
        """Show the counters of this broker at 0 from the start: Prometheus misses the first step of a new series."""
        for counter in (self.messages_processed, self.messages_duplicate):
            counter.labels(broker)
        for reason in Deferral:
            self.messages_deferred.labels(broker, reason)
        for code in REFUSALS:
            self.messages_failed.labels(broker, code)

    def expect_namespaces(self, namespaces: Collection[str]) -> None:
        """The namespaces that Jobs may be in."""
        self.bounds["jobrelay_intake_namespace_paused"] = {"job_namespace": tuple(namespaces)}
        for namespace in namespaces:
            self.namespace_paused.labels(namespace).set(0)

    def _requests(self) -> None:
        self.subject = "From the broker to the Job"
        self.queue_length = self.gauge(
            "queue_length", "Messages that wait in the broker, for delivery or as dead letters.", **_QUEUES
        )
        self.queue_unsettled = self.gauge(
            "queue_unsettled", "Messages that are delivered and not settled; on RabbitMQ to this process.", **_QUEUES
        )
        self.store_filled = self.gauge(
            "store_filled_ratio",
            "How full a bounded store of the broker is, from 0 to 1. Only NATS says it.",
            broker=BROKER_NAMES,
            store=STORES,
        )
        self.messages_processed = self.counter("messages_processed", "Requests that became a Job.", broker=BROKER_NAMES)
        self.messages_failed = self.counter(
            "messages_failed", "Requests that became a dead letter.", broker=BROKER_NAMES, code=REFUSALS
        )
        self.messages_duplicate = self.counter(
            "messages_duplicate", "Requests whose Job existed already.", broker=BROKER_NAMES
        )
        self.messages_deferred = self.counter(
            "messages_deferred", "Requests put back for later.", broker=BROKER_NAMES, reason=tuple(map(str, Deferral))
        )
        self.messages_in_flight = self.gauge("messages_in_flight", "Requests that are worked on.", broker=BROKER_NAMES)
        self.event_age = self.histogram(
            "event_age_seconds", "Time from the event's own `time` to its Job; of events that have one.", _WAIT
        )
        self.create_seconds = self.histogram("create_seconds", "Time to create one Job.", CALL)
        self.functions = self.gauge("functions", "Functions in force.")
        self.functions_failed = self.gauge(
            "functions_reload_failed", "1 while the file of the functions is broken and an earlier one is in force."
        )
        self.intake_full = self.gauge(
            "intake_full", "1 while requests stay in the broker because too many Jobs wait for room."
        )
        self.intake_paused = self.gauge(
            "intake_paused", "1 while requests wait because the API server does not answer."
        )
        self.namespace_paused = self.gauge(
            "intake_namespace_paused",
            "1 while this namespace takes no Jobs, and the API server takes those of others.",
            job_namespace=(),
        )

    def _events(self) -> None:
        self.subject = "From a change in Kubernetes to the broker"
        self.publish_seconds = self.histogram("publish_seconds", "Time to publish one lifecycle event.", CALL)
        self.lifecycle_delay = self.histogram(
            "lifecycle_delay_seconds",
            "Time from a change to its confirmed lifecycle event; times in Kubernetes are whole seconds.",
            _WHOLE,
        )
        self.lifecycle_published = self.counter(
            "lifecycle_published",
            "Lifecycle events and answers to control events that the broker has taken.",
            phase=(*map(str, Phase), ACCEPTED, REJECTED),
        )
        self.lifecycle_undelivered = self.counter(
            "lifecycle_undelivered", "Events refused by their reply topic, sent to the default one."
        )
        self.lifecycle_given_up = self.counter(
            "lifecycle_given_up", "Events that are lost: too large for the broker in their shortest form, too."
        )
        self.events_waiting = self.gauge(
            "events_waiting",
            "Jobs and schedules with events, answers and deliveries that this broker has not taken at a try.",
            broker=BROKER_NAMES,
        )
        self.publish_failures = self.counter("publish_failures", "Lifecycle events the broker did not take at a try.")

    def _controller(self) -> None:
        self.subject = "Following the Jobs, and leading"
        self.jobs = self.gauge("jobs", "Jobs that are followed, by phase.", phase=PHASES)
        self.jobs_newer_format = self.gauge("jobs_newer_format", "Jobs left alone: written by a newer version.")
        self.finalizers_pending = self.gauge("finalizers_pending", "Finished Jobs whose terminal event is not out yet.")
        self.finalizers_pending_seconds = self.gauge("finalizers_pending_seconds", "Time the longest of them waits.")
        self.verdicts = self.counter("verdicts", "Outcomes decided by jobrelay, not by Kubernetes.", code=VERDICTS)
        self.control = self.counter(
            "control_events",
            "Control events answered.",
            verb=(*map(str, ControlVerb), "unknown"),
            outcome=(ACCEPTED, REJECTED),
        )
        self.control_put_back = self.counter(
            "control_events_put_back", "Control events that wait at the broker: too many wait in the controller."
        )
        self.disowned = self.counter(
            "jobs_disowned",
            "Jobs and CronJobs with our finalizer that are no request's: let go, and nothing told of them.",
            reason=(Stray.COPY, Stray.UNIDENTIFIED),
        )
        self.labels_restored = self.counter(
            "labels_restored", "Jobs and CronJobs that had lost labels of ours and got them back."
        )
        self.queued = self.gauge("jobs_queued", "Jobs that wait for admission, by what for.", reason=QUEUED_FOR)
        self.admitted = self.counter("jobs_admitted", "Jobs that were let go after a wait for admission.")
        self.admission_seconds = self.histogram("admission_seconds", "Time of one decision about all Jobs.", CALL)
        self.sync_failures = self.counter("sync_failures", "Looks at a Job that ended in an error and are repeated.")
        self.work_queue_length = self.gauge("work_queue_length", "Jobs that changed and wait for a look, or have one.")
        self.watch_age = self.gauge("watch_age_seconds", "Time since the quietest watch last gave a sign of life.")
        self.watch_failing = self.gauge("watch_failing", "1 while a watch cannot be followed.")
        self.watch_relists = self.counter("watch_relists", "Lists made because a watch could not go on.")
        self.watch_errors = self.counter("watch_errors", "Objects that could not be read.")
        self.usage_jobs = self.gauge("usage_jobs", "Jobs of which the last sample told something new.")
        self.leader = self.gauge("leader", "1 while this process leads.")
        self.leader_terms = self.counter("leader_terms", "Times this process became the leader.")
        self.takeover_seconds = self.gauge(
            "takeover_seconds", "Time from the last renewal of the former leader until this process led."
        )

    def _process(self, role: str) -> None:
        """Its memory, CPU time and descriptors are `process_*`, as everywhere."""
        self.subject = "The process"
        self.broker_connected = self.gauge("broker_connected", "1 while the broker is connected.", broker=BROKER_NAMES)
        self.broker_storing = self.gauge(
            "broker_storing",
            "1 while the broker stores what is published, as a look every 5 s finds.",
            broker=BROKER_NAMES,
        )
        self.broker_members = self.gauge(
            "broker_members",
            "Replicas of a stream or queue, up or not, where the broker is a cluster and says it.",
            broker=BROKER_NAMES,
            store=(),
        )
        self.broker_members_online = self.gauge(
            "broker_members_online", "Replicas of them that are up.", broker=BROKER_NAMES, store=()
        )
        self.broker_members_wanted = self.gauge(
            "broker_members_wanted", "Replicas that they should have.", broker=BROKER_NAMES, store=()
        )
        self.redeclared = self.counter(
            "topology_redeclared",
            "Streams, consumers, exchanges and queues that had gone and were declared anew.",
            broker=BROKER_NAMES,
        )
        self.taken_away = self.counter(
            "messages_taken_away",
            "Messages that RabbitMQ took back because they were unsettled for longer than its consumer_timeout.",
            broker=BROKER_NAMES,
        )
        self.letters_cut = self.counter(
            "dead_letters_cut", "Dead letters kept without their bodies: there was little room.", broker=BROKER_NAMES
        )
        self.letters_lost = self.counter(
            "dead_letters_lost", "Requests refused without a dead letter: there was no room.", broker=BROKER_NAMES
        )
        self.ready = self.gauge("ready", "1 while nothing is missing, as `/readyz` has it.")
        self.loop_lag = self.histogram(
            "loop_lag_seconds", "Time for which what was due had to wait for the event loop, ten times a second.", _LAG
        )
        self.asyncio_tasks = self.gauge("asyncio_tasks", "Tasks of the event loop.")
        self.build_info = Gauge(
            self.bounded("build_info", {"version": (version(),), "role": (role,)}),
            "Always 1: the version, and what it runs as.",
            ["version", "role"],
            registry=self.registry,
        )
        self.build_info.labels(version(), role).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

"""Every error code of jobrelay: when it is told and what helps. Not how a code is found; that is where it is raised."""

from collections.abc import Mapping
from dataclasses import dataclass

from events.phases import Phase

CONTROL = "control rejected"
"""Stands for rejected control events, beside the phases of requests."""


@dataclass(frozen=True, slots=True)
class Code:
    """`told`: in which phases (or `CONTROL`); `when` and `remedy` are sentences for people.

    `verdict`: an outcome that jobrelay decides, not Kubernetes.
    """

    told: tuple[str, ...]
    when: str
    remedy: str
    verdict: bool = False


_POD = (Phase.RETRYING, Phase.FAILED)

CODES: Mapping[str, Code] = {
    "INVALID_EVENT": Code(
        (Phase.REJECTED,),
        "The message is no CloudEvent 1.0.",
        "Send what `message` asks for. It may have no source or id to answer to: then only the dead letter tells.",
    ),
    "INVALID_REQUEST": Code(
        (Phase.REJECTED, CONTROL),
        "A field is unknown, missing, of a wrong type or out of bounds; or the API server refuses the Job as invalid.",
        "Correct every field in `fields`; each says what is allowed.",
    ),
    "FORBIDDEN": Code(
        (Phase.REJECTED, Phase.STALLED, CONTROL),
        "The policy of this installation, or the cluster (admission, Pod Security, Kueue), does not allow it.",
        "The message names the rule: change the request, or have the operator change the setting and replay it.",
    ),
    "NO_FUNCTION": Code(
        (Phase.REJECTED,),
        "The event is no job request, and no function matches it.",
        "Send `dev.jobrelay.job.requested`, or have the operator add a function; then replay it.",
    ),
    "TOO_LARGE": Code(
        (Phase.REJECTED,),
        "The event is larger than JOBRELAY_MAX_REQUEST_BYTES, or than Kubernetes can store; "
        "or it has a `schedule` and is larger than JOBRELAY_INLINE_BYTES; or a function makes more of it than "
        "variables, an argument, `tags` or `metadata` may be.",
        "Send a reference to the data instead of the data.",
    ),
    "ID_REUSED": Code(
        (Phase.REJECTED,),
        "Another request of this source and id, with other data, has a Job.",
        "Give each request an id of its own.",
    ),
    "NAME_TAKEN": Code(
        (Phase.REJECTED, CONTROL),
        "A Job (CronJob) of this name exists that is not jobrelay's, or another installation's.",
        "Let its owner remove it, or use another `prefixName`; send the control event anew, with another id.",
    ),
    "EXPIRED": Code(
        (Phase.REJECTED, CONTROL),
        "The event came later than its `expirytime`.",
        "Send it again if it is still wanted.",
    ),
    "TOO_MANY_ATTEMPTS": Code(
        (Phase.REJECTED,),
        "The message was delivered JOBRELAY_MAX_ATTEMPTS times without an outcome.",
        "The logs say why; replay it when the cause is gone.",
    ),
    "UNAVAILABLE": Code(
        (Phase.REJECTED, CONTROL),
        "The API server did not take the Job, or what a control event writes on it, at JOBRELAY_MAX_ATTEMPTS attempts, "
        "while it took others: a webhook fails for Jobs of this kind, say. Or the dead letters could not be read.",
        "The message says what it answered last. Replay the dead letter when the cause is gone.",
    ),
    "NAMESPACE_GONE": Code(
        (Phase.REJECTED,),
        "The namespace of the Job was not there, or was being deleted, at JOBRELAY_MAX_ATTEMPTS attempts.",
        "Have the operator create the namespace, or take it from JOBRELAY_NAMESPACES; then replay the dead letter.",
    ),
    "INTERNAL": Code(
        (Phase.REJECTED, CONTROL),
        "jobrelay itself failed at JOBRELAY_MAX_ATTEMPTS attempts to work on the event.",
        "Report it with the reference that the message names: the log has the error under the same reference.",
    ),
    "ADMISSION_OFF": Code(
        (Phase.REJECTED,),
        "The request asks to wait for others, for a time or for the times of a schedule, and this installation lets no "
        "Job wait so, or leaves it to Kueue when Jobs run.",
        "Leave the fields in `fields` out, or have the operator change JOBRELAY_ADMISSION or JOBRELAY_KUEUE_QUEUE.",
    ),
    "TOO_MANY_WAITING": Code(
        (Phase.REJECTED,),
        "JOBRELAY_MAX_WAITING Jobs wait for a time, for other requests or for a `resume`; or half as many of the "
        "request's own `service`, while others wait too.",
        "Send it again when some of them have run, or have the operator raise the bound.",
    ),
    "IMAGE_PULL": Code(
        (Phase.STALLED,),
        "The image of a container cannot be pulled.",
        "Check its name and pull secrets. The pod goes on trying until the start timeout.",
    ),
    "UNSCHEDULABLE": Code(
        (Phase.STALLED,),
        "No node can run the pod.",
        "Ask for less, or wait: it starts as soon as a node has room.",
    ),
    "CREATE_CONTAINER": Code(
        (Phase.STALLED,),
        "The container cannot be created: a Secret, ConfigMap, volume or program is missing.",
        "Create what the message names, or correct the request.",
    ),
    "SIDECAR_RUNNING": Code(
        (Phase.STALLED,),
        "The main container has ended, and another one has kept its pod running for 5 s.",
        "Have it end by itself, or make it an init container with `restartPolicy: Always`: Kubernetes ends those.",
    ),
    "QUOTA": Code(
        (Phase.STALLED,),
        "A quota of the namespace leaves no room for the pod.",
        "Wait, or raise the quota. Requests whose Job a quota refuses wait in the broker instead.",
    ),
    "JOB_EXECUTION_FAILED": Code(
        _POD,
        "A container ended with another exit code than 0, or its program could not be run.",
        "See `error.container`, `exitCode` and `logTail`.",
    ),
    "EVICTED": Code(
        _POD,
        "The node ended the pod to save its own memory or disk, or the pod was evicted: its node is drained, say.",
        "Set `resources`, or allow retries.",
    ),
    "PREEMPTED": Code(
        _POD,
        "The pod had to make room for a pod of higher priority.",
        "Allow retries, or set `priorityClassName`.",
    ),
    "NODE_SHUTDOWN": Code(
        _POD,
        "The node of the pod was shut down.",
        "Allow retries.",
    ),
    "NODE_LOST": Code(
        _POD,
        "The node of the pod is gone, cannot be reached, or got a taint that the pod does not tolerate.",
        "Allow retries.",
    ),
    "DELETED_POD": Code(
        _POD,
        "Somebody deleted the pod before it had ended.",
        "Allow retries.",
    ),
    "ADMISSION": Code(
        _POD,
        "The node refused the pod, which it had too little room for, say.",
        "The message names what was missing. Allow retries: another node may take it.",
    ),
    "OOM_KILLED": Code(
        _POD,
        "A container used more memory than its limit.",
        "Raise `resources.limits.memory`.",
    ),
    "DEADLINE_EXCEEDED": Code(
        _POD,
        "The Job, or its pod, ran for longer than `activeDeadlineSeconds`.",
        "Raise it, or make the Job smaller.",
    ),
    "START_TIMEOUT": Code(
        (Phase.FAILED,),
        "No pod ran within `startTimeout`, or the event of the request could not be stored for two hours.",
        "The `stalled` events before it say why, and of the event a `rejected` of the request.",
        verdict=True,
    ),
    "TIMEOUT": Code(
        (Phase.FAILED,),
        "The request was not over within `timeout`, waiting included.",
        "Raise it, or find out what it waited for.",
        verdict=True,
    ),
    "DEPENDENCY_FAILED": Code(
        (Phase.FAILED,),
        "A request that it depends on did not succeed.",
        "See how that one ended. With `onDependencyFailure: run` it runs all the same.",
        verdict=True,
    ),
    "DEPENDENCY_UNKNOWN": Code(
        (Phase.FAILED,),
        "No request of an id in `dependencies` had a Job within `dependencyTimeout`: it never came, or is gone.",
        "Check the id, and the `source` it was sent with; send both within JOBRELAY_DEDUP_SECONDS.",
        verdict=True,
    ),
    "DEPENDENCY_TIMEOUT": Code(
        (Phase.FAILED,),
        "A request that it depends on was not over within `dependencyTimeout`.",
        "Raise it, or find out what that one waits for.",
        verdict=True,
    ),
    "DEPENDENCY_CYCLE": Code(
        (Phase.FAILED,),
        "The request depends on itself, by way of others.",
        "Correct `dependencies`: the message names one that closes the circle.",
        verdict=True,
    ),
    "NEVER_ADMISSIBLE": Code(
        (Phase.FAILED,),
        "It asks for more than this installation lets run at all.",
        "Ask for less, or have the operator raise the limit that the message names.",
        verdict=True,
    ),
    "POD_FAILURE_POLICY": Code(
        (Phase.FAILED,),
        "A rule of `podFailurePolicy` with action FailJob matched a failed pod.",
        "See the message for the rule, and `logTail`.",
    ),
    "MAX_FAILED_INDEXES": Code(
        (Phase.FAILED,),
        "More indexes failed than `maxFailedIndexes`.",
        "`failedIndexes` names them.",
    ),
    "FAILED_INDEXES": Code(
        (Phase.FAILED,),
        "All indexes are done, and some failed.",
        "`failedIndexes` names them; `results` has what the others left.",
    ),
    "CANCELLED": Code(
        (Phase.CANCELLED,),
        "A control event asked for it.",
        "Nothing to do.",
        verdict=True,
    ),
    "DELETED": Code(
        (Phase.CANCELLED,),
        "Somebody deleted the Job before it was over; or it was a run, and the next one came with `Replace`.",
        "Send the request with a new id if it is still wanted.",
        verdict=True,
    ),
    "UNKNOWN": Code(
        (CONTROL,),
        "No Job of this request, nor a schedule, appeared within JOBRELAY_CONTROL_WAIT.",
        "Check the `subject`. A request that is still in the broker cannot be cancelled.",
    ),
    "AMBIGUOUS": Code(
        (CONTROL,),
        "Requests of several sources have this id, or one source and id has several Jobs: it was sent again with "
        "another service, prefixName or namespace.",
        "Name the source in the extension attribute `requestsource`, or the Job in `jobname` and `jobnamespace`; "
        "`jobrelay get ID` shows them.",
    ),
    "FINISHED": Code(
        (CONTROL,),
        "The request, or the schedule, is over.",
        "Nothing to do: its terminal event says how.",
    ),
    "NO_SCHEDULE": Code(
        (CONTROL,),
        "What is to `run` now is no schedule.",
        "Send the request again, with a new id.",
    ),
    "RUN_IN_PROGRESS": Code(
        (CONTROL,),
        "The schedule's `concurrencyPolicy` is `Forbid`, and a run of it is not over.",
        "Wait for the run that the message names, or cancel it.",
    ),
    "LETTER_UNKNOWN": Code(
        (CONTROL,),
        "No dead letter of the broker that the control event came on has this number.",
        "See `jobrelay dead list`: somebody has replayed or dropped it meanwhile, perhaps this very control event.",
    ),
    "LETTER_CHANGED": Code(
        (CONTROL,),
        "The dead letter of this number is another one than `letterdigest` says.",
        "Look at it again: `jobrelay dead show`.",
    ),
    "LETTER_REFUSED": Code(
        (CONTROL,),
        "The broker does not take the dead letter back. It stays one.",
        "The message says why: it is too large, say, or came from no topic of jobrelay's.",
    ),
    "NEWER_FORMAT": Code(
        (CONTROL,),
        "The Job was written by a newer version of jobrelay.",
        "Upgrade the controller.",
    ),
}


def codes_told(told: str) -> tuple[str, ...]:
    """The codes of this phase, or of `CONTROL`."""
    return tuple(name for name, code in CODES.items() if told in code.told)


def verdicts_told(told: str) -> tuple[str, ...]:
    """Those of them that jobrelay decides."""
    return tuple(name for name in codes_told(told) if CODES[name].verdict)

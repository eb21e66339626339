"""Requests that all run at the same time, so that their waits overlap. The tests know what each leads to."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.observer import request
from tests.e2e.site import Site

DOUBLE = """n=$(sed -n 's/.*"n": *\\([0-9]*\\).*/\\1/p' "$JOBRELAY_EVENT_PATH")
echo "{\\"double\\": $((n * 2))}" > "$JOBRELAY_RESULT_PATH\""""
MEASURE = """size=$(wc -c < "$JOBRELAY_EVENT_PATH"); marks=$(grep -c the-end "$JOBRELAY_EVENT_PATH")
echo "{\\"size\\": $((size)), \\"marks\\": $((marks))}" > "$JOBRELAY_RESULT_PATH\""""
INDEX = 'echo "$JOB_COMPLETION_INDEX" > "$JOBRELAY_RESULT_PATH"'
FOREVER = "exec sleep 600"
TURNS = ("turn-1", "turn-2", "turn-3")
KIB = 1024


def at_once(site: Site) -> dict[str, dict[str, Any]]:
    """The requests by id; each is named after what happens to it."""
    image = site.image
    start_timeout = 6 if site.own_cluster else 60
    made = {
        "double": request("double", DOUBLE, image=image, tags=["t"], metadata={"n": 21}),
        "break": request("break", "echo it broke >&2; exit 3", image=image),
        "late": request("late", FOREVER, image=image, job={"activeDeadlineSeconds": 2 if site.own_cluster else 20}),
        "unpullable": request("unpullable", image=site.missing_image, startTimeout=start_timeout),
        "three": request(
            "three",
            'echo "{\\"of\\": \\"$JOBRELAY_JOB_ID\\"}" > "$JOBRELAY_RESULT_PATH"',
            image=image,
            job={"parallelism": 3, "completions": 3},
        ),
        "cancelled": request("cancelled", FOREVER, image=image),
        "deleted": request("deleted", FOREVER, image=image),
    }
    made |= several(image) | turns(site)
    for size in (200, 700):
        # A single argument of a command may not be over 128 KiB.
        chunks = ["x" * (100 * KIB)] * (size // 100)
        made[f"large-{size}"] = request(f"large-{size}", MEASURE, image=image, job={"args": [*chunks, "the-end"]})
    return made


def turns(site: Site) -> dict[str, dict[str, Any]]:
    """Requests that must wait: for each other, for a request that comes later, for a time."""
    image = site.image
    at = (datetime.now(UTC) + timedelta(seconds=6 if site.own_cluster else 90)).replace(microsecond=0).isoformat()
    on_key = {"key": "turns", "limit": 1}
    made = {name: request(name, "sleep 2", image=image, concurrency=on_key) for name in TURNS}
    return made | {
        "after": request("after", image=image, dependencies=["before"]),
        "before": request("before", "sleep 2", image=image),
        "later": request("later", image=image, runAt=at, metadata={"at": at}),
    }


def several(image: str) -> dict[str, dict[str, Any]]:
    """Jobs of several pods, and the policies that decide about them."""
    indexed = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    each = {**indexed, "backoffLimitPerIndex": 0}
    any_index = {**indexed, "successPolicy": {"rules": [{"succeededCount": 1}]}}
    exit_codes = {"operator": "In", "values": [42]}
    policy = {"podFailurePolicy": {"rules": [{"action": "FailJob", "onExitCodes": exit_codes}]}}
    jobs = {
        "indexed": (INDEX, indexed),
        "work-queue": ("exit 0", {"parallelism": 2}),
        "each-index": (f'test "$JOB_COMPLETION_INDEX" != 1 || exit 1; {INDEX}', each),
        "any-index": (f"sleep $((JOB_COMPLETION_INDEX * 600)); {INDEX}", any_index),
        "policy": ("exit 42", {**policy, "backoffLimit": 3}),
    }
    return {name: request(name, script, image=image, job=job) for name, (script, job) in jobs.items()}


def retried(site: Site) -> dict[str, Any]:
    """A request that fails until some seconds from now: the pod of a retry knows nothing of the pod before."""
    seconds = 2 if site.own_cluster else 30
    script = f"test $(date +%s) -ge {int(time.time()) + seconds} || exit 1"
    return request("retried", script, image=site.image, retries=8)

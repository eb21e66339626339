"""Which policies of Jobs the store accepts, and refusals in the words of Kubernetes."""

from typing import Any

import pytest

from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store
from tests.k8s.devcluster.served import make_job

Obj = dict[str, Any]
POLICY = "spec.podFailurePolicy.rules[0]"
SUCCESS = "spec.successPolicy.rules[0]"


def job(name: str = "a", **spec: Any) -> Obj:
    made = make_job(name)
    made["spec"] |= spec
    return made


def indexed(**spec: Any) -> Obj:
    made: Obj = {"completionMode": "Indexed", "completions": 3, "parallelism": 3}
    return job(**(made | spec))


def failing(*, policy: Obj | None = None, **rule: Any) -> Obj:
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}} | rule]
    return job(podFailurePolicy=policy or {"rules": rules})


def succeeding(**rule: Any) -> Obj:
    return indexed(successPolicy={"rules": [rule]})


def codes(**given: Any) -> Obj:
    return failing(onExitCodes={"operator": "In", "values": [1]} | given)


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        (failing(action=None), f"{POLICY}.action", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'),
        (failing(action="Retry"), f"{POLICY}.action", 'Unsupported value: "Retry"'),
        (failing(action="FailIndex"), f"{POLICY}.action", "requires the backoffLimitPerIndex to be set"),
        (failing(onExitCodes=None), POLICY, "specifying one of OnExitCodes and OnPodConditions is required"),
        (
            failing(onPodConditions=[{"type": "DisruptionTarget"}]),
            POLICY,
            "specifying both OnExitCodes and OnPodConditions is not supported",
        ),
        (codes(operator="Near"), f"{POLICY}.onExitCodes.operator", "Unsupported value"),
        (codes(values=[]), f"{POLICY}.onExitCodes.values", "at least one value is required"),
        (codes(values=[0, 1]), f"{POLICY}.onExitCodes.values[0]", "must not be 0 for the In operator"),
        (codes(values=[2, 1]), f"{POLICY}.onExitCodes.values", "must be ordered"),
        (codes(values=[1, 1]), f"{POLICY}.onExitCodes.values[1]", "Duplicate value: 1"),
        (codes(values=list(range(1, 257))), f"{POLICY}.onExitCodes.values", "must have at most 255 items"),
        (codes(containerName="other"), f"{POLICY}.onExitCodes.containerName", "must be one of the container or init"),
        (
            failing(onExitCodes=None, onPodConditions=[{"type": "bad type", "status": "Yes"}]),
            f"{POLICY}.onPodConditions[0].status",
            'Unsupported value: "Yes"',
        ),
        (
            failing(policy={"rules": [{"action": "Count"}] * 21}),
            "spec.podFailurePolicy.rules",
            "Too many: 21: must have at most 20 items",
        ),
        (job(podFailurePolicy={"rules": []}, podReplacementPolicy="TerminatingOrFailed"),
         "spec.podReplacementPolicy", 'supported values: "Failed"'),
        (indexed(successPolicy={}), "spec.successPolicy.rules", "at least one rules must be specified"),
        (job(successPolicy={"rules": [{"succeededCount": 1}]}), "spec.successPolicy", "requires indexed completion"),
        (succeeding(), SUCCESS, "at least one of succeededCount or succeededIndexes"),
        (succeeding(succeededCount=4), f"{SUCCESS}.succeededCount", "equal to 3 (the number of specified completions)"),
        (
            succeeding(succeededIndexes="0,2", succeededCount=3),
            f"{SUCCESS}.succeededCount",
            "equal to 2 (the number of indexes in the specified succeededIndexes field)",
        ),
        (succeeding(succeededIndexes="2,1"), f"{SUCCESS}.succeededIndexes", "non-increasing order, previous: 2"),
        (succeeding(succeededIndexes="0-7"), f"{SUCCESS}.succeededIndexes", 'too large index: "7"'),
        (succeeding(succeededIndexes="x"), f"{SUCCESS}.succeededIndexes", "cannot convert string to integer"),
        (succeeding(succeededIndexes="0-1-2"), f"{SUCCESS}.succeededIndexes", "at most two parts"),
        (indexed(backoffLimitPerIndex=-1), "spec.backoffLimitPerIndex", "greater than or equal to 0"),
        (
            indexed(backoffLimitPerIndex=1, maxFailedIndexes=4),
            "spec.maxFailedIndexes",
            "must be less than or equal to completions",
        ),
        (
            indexed(backoffLimitPerIndex=1, completions=100_001),
            "spec.maxFailedIndexes",
            "must be specified when completions is above 100000",
        ),
        (indexed(completions=3) | {"metadata": {"name": "a.b"}}, "metadata.name", "invalid DNS label: a.b-2"),
    ],
)  # fmt: skip
def test_policies_that_are_not_valid_are_refused_by_field(store: Store, wrong: Obj, field: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("jobs", wrong)
    assert caught.value.code == 422
    messages = {cause["field"]: cause["message"] for cause in (caught.value.details or {})["causes"]}
    assert message in messages[field]


def test_a_failure_policy_needs_pods_that_are_never_restarted(store: Store) -> None:
    made = failing()
    made["spec"]["template"]["spec"]["restartPolicy"] = "OnFailure"
    with pytest.raises(ApiError, match='only "Never" is supported when podFailurePolicy is specified'):
        store.create("jobs", made)


def test_a_failure_policy_replaces_only_failed_pods_and_waits_for_conditions_that_hold(store: Store) -> None:
    rules = [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}]
    spec = store.create("jobs", job(podFailurePolicy={"rules": rules}))["spec"]
    assert spec["podReplacementPolicy"] == "Failed"
    assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"


def test_a_limit_per_index_lifts_the_limit_of_the_job(store: Store) -> None:
    made = indexed(backoffLimitPerIndex=1)
    del made["spec"]["backoffLimit"]
    assert store.create("jobs", made)["spec"]["backoffLimit"] == 2**31 - 1


def test_policies_cannot_be_changed_but_the_number_of_failed_indexes_can(store: Store) -> None:
    store.create("jobs", indexed(backoffLimitPerIndex=1, successPolicy={"rules": [{"succeededCount": 1}]}))
    store.mutate("jobs", "default", "a", lambda job: job["spec"].update(maxFailedIndexes=2))
    with pytest.raises(ApiError, match="field is immutable"):
        store.mutate("jobs", "default", "a", lambda job: job["spec"].update(successPolicy=None))
    with pytest.raises(ApiError, match="field is immutable"):
        store.mutate("jobs", "default", "a", lambda job: job["spec"].update(backoffLimitPerIndex=2))

"""Every rule of the operator: what it allows, what it refuses, and that a refusal names its setting."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from events.problems import MAX_ERRORS
from events.request.job import JobSpec
from handler import policy
from handler.policy import refusals
from handler.settings.settings import InvalidSettings, Settings
from tests.k8s.requests import make_request

NAMESPACES = ("default", "jobs")


def refused(job: dict[str, Any], **settings: Any) -> dict[str, str]:
    request = make_request(job={"image": "registry.example/app:1", **job}).request
    return {refusal.path: str(refusal) for refusal in refusals(request, Settings(**settings), namespaces=NAMESPACES)}


EPHEMERAL = {"volumes": [{"mountPath": "/e", "ephemeral": {"storage": "2Gi", "storageClassName": "fast"}}]}
CLAIM = {"volume": {"mountPath": "/d", "pvc": "data-1"}}
PULL = {"imagePullSecrets": [{"name": "r"}]}
SECRET = {"volumes": [{"mountPath": "/s", "secret": "keys-1"}]}


@pytest.mark.parametrize(
    ("job", "path", "setting", "allowing"),
    [
        ({"namespace": "other"}, "job.namespace", "NAMESPACES", None),
        ({}, "job.image", "IMAGES", {"images": ("registry.example/*",)}),
        ({"serviceAccount": "worker"}, "job.serviceAccount", "SERVICE_ACCOUNTS", {"service_accounts": ("worker",)}),
        ({"priorityClassName": "low"}, "job.priorityClassName", "PRIORITY_CLASSES", {"priority_classes": ("l*",)}),
        (
            {"imagePullSecrets": [{"name": "r"}]},
            "job.imagePullSecrets[0].name",
            "PULL_SECRETS",
            {"pull_secrets": ("r",)},
        ),
        ({"envRef": [{"name": "k", "type": "secret"}]}, "job.envRef[0].name", "SECRETS", {"secrets": ("k",)}),
        (SECRET, "job.volumes[0].secret", "SECRETS", {"secrets": ("keys-*",)}),
        (CLAIM, "job.volume.pvc", "CLAIMS", {"claims": ("data-?",)}),
        (
            {"volumes": [{"mountPath": "/d", "pvc": "data-1"}]},
            "job.volumes[0].pvc",
            "CLAIMS",
            {"claims": ("data-1",)},
        ),
        (
            {"volumes": [{"mountPath": "/e", "ephemeral": {"storage": "2Gi"}}]},
            "job.volumes[0].ephemeral",
            "MAX_CLAIM_STORAGE",
            {"max_claim_storage": "2048Mi"},
        ),
        ({"gpuEnable": True, "gpuNumber": 5}, "job.gpuNumber", "MAX_GPUS", {"max_gpus": 5}),
        (
            {"resources": {"limits": {"example.com/fpga": "1"}}},
            "job.resources.limits.'example.com/fpga'",
            "EXTENDED_RESOURCES",
            {"extended_resources": ("example.com/*",)},
        ),
        ({"parallelism": 101}, "job.parallelism", "MAX_PARALLELISM", {"max_parallelism": 101}),
        ({"completions": 10_001}, "job.completions", "MAX_COMPLETIONS", {"max_completions": 10_001}),
        (
            {"ttlSecondsAfterFinished": 604_801},
            "job.ttlSecondsAfterFinished",
            "MAX_TTL_SECONDS",
            {"max_ttl_seconds": 604_801},
        ),
        (
            {"labels": {"team.example/x": ""}},
            "job.labels.'team.example/x'",
            "LABEL_PREFIXES",
            {"label_prefixes": ("*",)},
        ),
        (
            {"annotations": {"team.example/x": ""}},
            "job.annotations.'team.example/x'",
            "ANNOTATION_PREFIXES",
            {"annotation_prefixes": ("*.example",)},
        ),
        (
            {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
            "job.annotations.'cluster-autoscaler.kubernetes.io/safe-to-evict'",
            "ANNOTATION_PREFIXES",
            {"annotation_prefixes": ("cluster-autoscaler.kubernetes.io",)},
        ),
        (
            {"securityContext": {"runAsUser": 0}},
            "job.securityContext.runAsUser",
            "USER_IDS",
            {"user_ids": ("0-9",), "pod_security": "off"},
        ),
    ],
)
def test_what_is_refused_by_default_can_be_allowed_by_the_setting_that_it_names(
    job: dict[str, Any], path: str, setting: str, allowing: dict[str, Any] | None
) -> None:
    strict = {"images": ("nobody/*",)} if setting == "IMAGES" else {}
    found = refused(job, **strict)
    assert list(found) == [path]
    assert f"JOBRELAY_{setting}" in found[path]
    if allowing is not None:
        assert refused(job, **allowing) == {}


def test_all_broken_rules_are_reported_at_once() -> None:
    found = refused({"namespace": "x", **CLAIM, "parallelism": 1000, "completions": 1_000_000, "labels": {"app": "y"}})
    assert set(found) == {"job.namespace", "job.volume.pvc", "job.parallelism", "job.completions", "job.labels.app"}


def test_a_star_for_prefixes_does_not_include_those_of_kubernetes_or_ours() -> None:
    keys = ("app.kubernetes.io/part-of", "kueue.x-k8s.io/queue-name", "jobrelay.dev/id", "x.jobrelay.dev/id")
    for field in ("labels", "annotations"):
        assert len(refused({field: dict.fromkeys(keys, "x")}, label_prefixes=("*",), annotation_prefixes=("*",))) == 4
    named = {"label_prefixes": ("*.kubernetes.io", "jobrelay.dev")}
    assert set(refused({"labels": dict.fromkeys(keys, "x")}, **named)) == {
        f"job.labels.'{key}'" for key in keys if not key.startswith("app.")
    }


@pytest.mark.parametrize(
    ("job", "path"),
    [
        ({"envRef": [{"name": "jobrelay-payload-app-1", "type": "secret"}]}, "job.envRef[0].name"),
        ({"imagePullSecrets": [{"name": "jobrelay-payload-app-1"}]}, "job.imagePullSecrets[0].name"),
        ({"volumes": [{"mountPath": "/s", "secret": "jobrelay-payload-app-1"}]}, "job.volumes[0].secret"),
        ({"volume": {"mountPath": "/d", "pvc": "app-1-x-jobrelay-ephemeral-0"}}, "job.volume.pvc"),
        ({"volumes": [{"mountPath": "/d", "pvc": "app-1-x-jobrelay-ephemeral-12"}]}, "job.volumes[0].pvc"),
    ],
)
def test_no_pattern_opens_the_payload_or_the_ephemeral_claim_of_a_request(job: Any, path: str) -> None:
    patterns = ("*", "jobrelay-*", "jobrelay-payload-app-1", "app-1-x-jobrelay-ephemeral-0")
    found = refused(job, secrets=patterns, pull_secrets=patterns, claims=patterns)
    assert list(found) == [path]
    assert "no setting allows" in found[path]
    assert "app-1" not in found[path]


@pytest.mark.parametrize(
    "label",
    [
        "app",
        "app.kubernetes.io/name",
        "app.kubernetes.io/managed-by",
        "job-name",
        "controller-uid",
        "batch.kubernetes.io/job-name",
        "batch.kubernetes.io/controller-uid",
    ],
)
def test_no_setting_allows_labels_that_say_whose_a_pod_is(label: str) -> None:
    allowing = {"label_prefixes": ("*.kubernetes.io", "app.kubernetes.io"), "labels": ("*", "app")}
    for app_label in ("on", "off"):
        (message,) = refused({"labels": {label: "x"}}, app_label=app_label, **allowing).values()
        assert "is set by jobrelay or by Kubernetes" in message
    assert (
        len(
            refused({"annotations": {"batch.kubernetes.io/job-tracking": ""}}, annotation_prefixes=("*.kubernetes.io",))
        )
        == 1
    )


def test_labels_without_a_prefix_can_be_restricted() -> None:
    labels = {"labels": {"team": "a", "k8s-app": "dns"}}
    assert refused(labels) == {}
    (path,) = found = refused(labels, labels=("team", "cost-*"))
    assert (path, "JOBRELAY_LABELS" in found[path]) == ("job.labels.'k8s-app'", True)


@pytest.mark.parametrize(
    ("services", "service", "namespace", "passes"),
    [
        ((), "payments", None, True),
        (("pay*", "shop"), "payments", None, True),
        (("pay*", "shop"), "shop-2", None, False),
        (("pay*",), None, None, True),
        (("jobs=pay*",), "payments", "jobs", True),
        (("jobs=pay*",), "payments", None, False),
        (("jobs=pay*", "shop"), "shop", "jobs", True),
        (("default=pay*", "jobs=shop"), "payments", "jobs", False),
        (("default=pay*", "jobs=shop"), "payments", "default", True),
    ],
)
def test_services_are_allowed_by_patterns_for_all_or_for_one_namespace(
    services: tuple[str, ...], service: str | None, namespace: str | None, *, passes: bool
) -> None:
    job = {"image": "registry.example/app:1", "namespace": namespace}
    request = make_request(service=service, job=job).request
    settings: dict[str, Any] = {"services": services}
    found = refusals(request, Settings(**settings), namespaces=NAMESPACES)
    assert [error.path for error in found] == ([] if passes else ["service"])
    assert all("JOBRELAY_SERVICES" in error.message for error in found)


@pytest.mark.parametrize("services", ["team a=x", "=", "team-a=", "=x", "A=x"])
def test_what_is_no_pattern_of_services_is_no_setting(services: str) -> None:
    with pytest.raises(InvalidSettings, match="JOBRELAY_SERVICES"):
        Settings.from_env({"JOBRELAY_SERVICES": services})


@pytest.mark.parametrize(
    ("pattern", "opens"), [("*", False), ("*broker", False), ("jobrelay-*", True), ("jobrelay-broker", True)]
)
def test_secrets_of_the_installation_are_opened_only_by_patterns_that_name_them(pattern: str, opens: bool) -> None:
    for job in (
        {"envRef": [{"name": "jobrelay-broker", "type": "secret"}]},
        {"imagePullSecrets": [{"name": "jobrelay-broker"}]},
    ):
        assert (refused(job, secrets=(pattern,), pull_secrets=(pattern,)) == {}) is opens


@pytest.mark.parametrize(
    ("kind", "amount", "passes"),
    [("limits", "1500m", True), ("limits", "2", True), ("limits", "2001m", False), ("requests", "2.5", False)],
)
def test_amounts_are_compared_as_quantities(kind: str, amount: str, *, passes: bool) -> None:
    found = refused({"resources": {kind: {"cpu": amount}}}, max_cpu="2")
    assert bool(found) is not passes
    assert all("JOBRELAY_MAX_CPU allows (allowed: at most 2)" in text for text in found.values())


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_memory_passes_exactly_up_to_its_maximum(asked: int, most: int) -> None:
    found = refused({"resources": {"limits": {"memory": f"{asked}Ki"}}}, max_memory=str(most * 1000))
    assert bool(found) == (asked * 1024 > most * 1000)


def test_gpus_count_however_they_are_requested() -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": "5"}}}
    assert "JOBRELAY_MAX_GPUS" in refused(limits)["job.resources.limits.'nvidia.com/gpu'"]
    assert "JOBRELAY_MAX_GPUS" in refused({"gpuEnable": True}, max_gpus=0)["job.gpuEnable"]
    assert refused({"resources": {"limits": {"amd.com/gpu": "4"}}}, gpu_resource="amd.com/gpu") == {}
    assert (
        "names too" in refused({"gpuEnable": True, "resources": {"limits": {"nvidia.com/gpu": "1"}}})["job.gpuEnable"]
    )


def test_a_storage_class_must_be_allowed_by_name() -> None:
    assert "JOBRELAY_STORAGE_CLASSES" in str(refused(EPHEMERAL, max_claim_storage="2Gi"))
    assert "JOBRELAY_MAX_CLAIM_STORAGE" in str(refused(EPHEMERAL, max_claim_storage="1Gi", storage_classes=("fast",)))
    assert refused(EPHEMERAL, max_claim_storage="2Gi", storage_classes=("fast",)) == {}


def test_ids_are_numbers_and_ranges_and_root_needs_relaxed_pods() -> None:
    ids = {"user_ids": ("0", "1000-1999")}
    for field, value in (("runAsUser", 1500), ("runAsGroup", 0), ("fsGroup", 1999), ("supplementalGroups", [0, 1000])):
        assert refused({"securityContext": {field: value}}, **ids) == {}
    assert "JOBRELAY_USER_IDS" in str(refused({"securityContext": {"supplementalGroups": [1000, 5]}}, **ids))
    assert "JOBRELAY_POD_SECURITY" in str(refused({"securityContext": {"runAsUser": 0}}, **ids))


def test_a_deadline_has_a_maximum_only_where_it_is_set() -> None:
    job = {"activeDeadlineSeconds": 7200}
    assert refused(job) == {}
    assert "JOBRELAY_MAX_DEADLINE_SECONDS" in str(refused(job, max_deadline_seconds=3600))


def test_without_a_deadline_the_default_applies_else_the_maximum() -> None:
    def default(**settings: Any) -> int | None:
        return Settings(**settings).default_deadline

    assert default() is None
    assert default(max_deadline_seconds=60) == 60
    assert default(max_deadline_seconds=60, deadline_seconds=30) == 30


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MAX_CPU", "lots", "a quantity above 0"),
        ("MAX_MEMORY", "0", "a quantity above 0"),
        ("USER_IDS", "9-1", "an id or a range of ids"),
        ("USER_IDS", "root", "an id or a range of ids"),
        ("MAX_GPUS", "65", "less than or equal to 64"),
        ("MAX_REQUEST_BYTES", "1048577", "less than or equal to 1048576"),
        ("MAX_TTL_SECONDS", "1000", "must not be above JOBRELAY_MAX_TTL_SECONDS"),
        ("GPU_RESOURCE", "gpu", "JOBRELAY_GPU_RESOURCE"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said):
        Settings.from_env({f"JOBRELAY_{name}": value})


def test_a_default_above_its_maximum_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="JOBRELAY_DEADLINE_SECONDS must not be above"):
        Settings.from_env({"JOBRELAY_DEADLINE_SECONDS": "60", "JOBRELAY_MAX_DEADLINE_SECONDS": "30"})


def test_of_all_that_is_refused_as_much_is_told_as_of_other_mistakes() -> None:
    job: dict[str, Any] = {"envRef": [{"name": "k", "type": "secret"}] * 50, **PULL}
    told = refused(job)
    assert len(told) == MAX_ERRORS + 1
    assert told[""] == "and 1 more error"
    several = make_request(job={"image": "a", **job}, failover={"job": {"image": "a", **job}}).request
    assert str(refusals(several, Settings.from_env({}), namespaces=NAMESPACES)[-1]) == "and 52 more errors"


class Watched:
    """A job that has nothing but an image, and notes which of its fields are read."""

    def __init__(self) -> None:
        self.job = JobSpec(image="registry.example/app:1")
        self.read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(JobSpec, name, None)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)
        self.read.add(name)
        return getattr(self.job, name)


@pytest.mark.parametrize("rule", [policy._secrets, policy._volumes, policy._resources])
def test_no_rule_is_skipped_without_a_look_at_every_field_that_it_reads(rule: Any) -> None:
    looked, reading = Watched(), Watched()
    policy._of_job(looked, Settings.from_env({}), NAMESPACES)  # type: ignore[arg-type]
    list(rule(reading, Settings.from_env({})))
    assert reading.read, "a rule is about something"
    assert reading.read <= looked.read

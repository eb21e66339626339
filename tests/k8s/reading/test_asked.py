"""What one pod of a Job requests, as Kubernetes counts it."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from k8s.base import Manifest
from k8s.devcluster.rules.podresources import pod_total
from k8s.reading.job import job_of, parse_job
from k8s.reading.pod import DEFAULT_CONTAINER
from k8s.reading.quantity import parse
from tests.k8s.objects import make_job


def container(
    name: str = "main", *, image: str = "busybox:1", always: bool = False, **resources: Any
) -> dict[str, Any]:
    policy = {"restartPolicy": "Always"} if always else {}
    return {"name": name, "image": image, "resources": resources, **policy}


def job(spec: Any, *, name: str = "a", default: str = "main") -> Manifest:
    made = make_job(name)
    metadata = {"annotations": {DEFAULT_CONTAINER: default}}
    made["spec"]["template"] = {"metadata": metadata, "spec": spec}
    return made


def asked(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    text = job_of(job({"containers": list(containers), **spec})).asked
    return msgspec.json.decode(text) if text else {}


def amounts(cpu: str | float, memory: str | int) -> dict[str, Any]:
    return {"cpu": cpu, "memory": memory}


@pytest.mark.parametrize(
    ("containers", "spec", "cpu", "memory"),
    [
        ([container()], {}, None, None),
        ([container(requests=amounts("250m", "64Mi"), limits=amounts("1", "1Gi"))], {}, 0.25, 64 << 20),
        ([container(limits=amounts(2, 1000))], {}, 2.0, 1000),
        ([container(requests={"cpu": "100m"}, limits=amounts("1", "1.5k"))], {}, 0.1, 1500),
        ([container(requests={"cpu": "0.5"}), container("b", limits=amounts("100m", "1M"))], {}, 0.6, 10**6),
        ([container(requests=amounts("1", "100m"))], {}, 1.0, 1),
        ([container(requests=amounts("1", "1Mi"))], {"overhead": amounts("250m", "1Mi")}, 1.25, 2 << 20),
        ([container(requests=amounts("1", "1Mi"))], {"resources": {"requests": {"cpu": "3"}}}, 3.0, 1 << 20),
        ([container(requests={"cpu": "1"})], {"resources": {"limits": amounts("3", "8Mi")}}, 1.0, 8 << 20),
        (
            [container(requests=amounts("1", "100"))],
            {"initContainers": [container("i", requests=amounts("3", "50")), container("j", limits={"memory": "70"})]},
            3.0,
            100,
        ),
        (
            [container(requests=amounts("1", "100"))],
            {
                "initContainers": [
                    container("first", requests=amounts("2", "10")),
                    container("proxy", always=True, requests=amounts("500m", "30")),
                    container("second", requests=amounts("1", "150")),
                ]
            },
            2.0,
            180,
        ),
    ],
)
def test_requests_are_summed_as_kubernetes_does(
    containers: list[dict[str, Any]], spec: dict[str, Any], cpu: float | None, memory: int | None
) -> None:
    found = asked(*containers, **spec)
    assert (found.get("cpu"), found.get("memory")) == (cpu, memory)


_REQUESTS = st.fixed_dictionaries(
    {}, optional={"cpu": st.sampled_from(["10m", "1", "2500m"]), "memory": st.sampled_from(["1Mi", "3M", "7"])}
)
_CONTAINERS = st.lists(st.builds(lambda found: container(requests=found), _REQUESTS), max_size=3)
_INITS = st.lists(st.builds(lambda found, always: container(requests=found, always=always), _REQUESTS, st.booleans()))


@given(containers=_CONTAINERS, inits=_INITS)
def test_sums_are_those_of_the_development_clusters_quota(
    containers: list[dict[str, Any]], inits: list[dict[str, Any]]
) -> None:
    expected = pod_total({"containers": containers, "initContainers": inits}, "requests")
    found = asked(*containers, initContainers=inits)
    found.pop("image", None)
    assert found == {name: pytest.approx(float(parse(amount))) for name, amount in expected.items()}


def test_image_is_that_of_the_main_container() -> None:
    others = container("helper", image="helper:1"), container("work", image="work:2")
    assert asked(*others)["image"] == "helper:1"
    assert asked(*others, container(image="x" * 1000))["image"] == "x" * 512
    assert '"work:2"' in job_of(job({"containers": list(others)}, default="work")).asked


def test_equal_jobs_share_a_text() -> None:
    spec = {"containers": [container(requests=amounts("1", "1Gi"))]}
    raw = [msgspec.json.encode(job(spec, name=name)) for name in ("a", "b")]
    one, other = (parse_job(text).asked for text in raw)
    assert one is other
    assert one


@pytest.mark.parametrize(
    "spec",
    [
        {"containers": "none"},
        {"containers": None},
        {"containers": [{"name": 1}]},
        {"containers": [container(requests="much")]},
        {"containers": [container(requests={"cpu": [], "memory": None})]},
        {"containers": [container(requests=amounts("-1", "1e999999"))]},
        {"containers": [container(requests=amounts("9E", "9E9"), limits="x")]},
        {"containers": [], "initContainers": [{}], "resources": [], "overhead": 3},
        [],
    ],
)
def test_what_cannot_be_read_is_absent(spec: Any) -> None:
    found = job_of(job(spec)).asked
    assert not found or set(msgspec.json.decode(found)) <= {"image"}

"""LimitRanges: what they add to pods, what they refuse, and which of them are valid."""

from typing import Any

import pytest

from k8s.devcluster.errors import ApiError
from k8s.devcluster.store.store import Store

Obj = dict[str, Any]


def limit_range(store: Store, name: str = "limits", **item: Any) -> Obj:
    return store.create("limitranges", {"metadata": {"name": name}, "spec": {"limits": [item]}})


def pod(*containers: Obj, init: list[Obj] | None = None) -> Obj:
    """A pod with a container for each of the given resources."""
    main = [
        {"name": f"c{number}", "image": "x:1", "resources": given} for number, given in enumerate(containers or [{}])
    ]
    spec = {"containers": main, "initContainers": init or []}
    return {"metadata": {"name": "p"}, "spec": spec}


def refusal(store: Store, made: Obj, plural: str = "pods") -> str:
    with pytest.raises(ApiError) as caught:
        store.create(plural, made)
    assert (caught.value.code, caught.value.reason) == (403, "Forbidden")
    name = made["metadata"]["name"]
    return caught.value.message.removeprefix(f'{plural} "{name}" is forbidden: ')


def test_containers_get_the_requests_and_limits_that_they_lack(store: Store) -> None:
    limit_range(store, type="Container", default={"cpu": "1", "memory": "1Gi"}, defaultRequest={"cpu": "500m"})
    made = store.create("pods", pod({}, {"requests": {"cpu": "100m"}}, init=[{"name": "i", "image": "x:1"}]))
    first, second = (container["resources"] for container in made["spec"]["containers"])
    limits = {"cpu": "1", "memory": "1Gi"}
    assert first == {"limits": limits, "requests": {"cpu": "500m", "memory": "1Gi"}}
    assert second == {"limits": limits, "requests": {"cpu": "100m", "memory": "1Gi"}}
    assert made["spec"]["initContainers"][0]["resources"] == first
    assert made["metadata"]["annotations"]["kubernetes.io/limit-ranger"] == (
        "LimitRanger plugin set: cpu, memory request for container c0; cpu, memory limit for container c0; "
        "memory request for container c1; cpu, memory limit for container c1; "
        "cpu, memory request for init container i; cpu, memory limit for init container i"
    )
    assert made["status"]["qosClass"] == "Burstable"


def test_defaults_of_a_limit_range_come_from_its_bounds(store: Store) -> None:
    made = limit_range(store, type="Container", max={"cpu": "2", "memory": "1Gi"}, min={"cpu": "1", "pods": "1"})
    (item,) = made["spec"]["limits"]
    assert item["default"] == {"cpu": "2", "memory": "1Gi"}
    assert item["defaultRequest"] == {"cpu": "2", "memory": "1Gi", "pods": "1"}


SMALL = {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}}
LARGE = {"requests": {"cpu": "1"}, "limits": {"cpu": "3"}}


@pytest.mark.parametrize(
    ("item", "containers", "message"),
    [
        ({"min": {"cpu": "0.2"}}, [SMALL], "minimum cpu usage per Container is 200m, but request is 100m"),
        ({"max": {"cpu": "2000m"}}, [LARGE], "maximum cpu usage per Container is 2, but limit is 3"),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            [LARGE],
            "cpu max limit to request ratio per Container is 2, but provided ratio is 3.000000",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            [{}],
            "cpu max limit to request ratio per Container is 2, but no request is specified or request is 0",
        ),
        (
            {"maxLimitRequestRatio": {"cpu": "2"}},
            [{"requests": {"cpu": "1"}}],
            "cpu max limit to request ratio per Container is 2, but no limit is specified or limit is 0",
        ),
        (
            {"max": {"cpu": "2", "memory": "1Gi"}},
            [{"limits": {"cpu": "3", "memory": "2Gi"}}],
            "[maximum cpu usage per Container is 2, but limit is 3, "
            "maximum memory usage per Container is 1Gi, but limit is 2Gi]",
        ),
        ({"type": "Pod", "min": {"cpu": "1"}}, [{}], "minimum cpu usage per Pod is 1.  No request is specified"),
        ({"type": "Pod", "max": {"cpu": "2"}}, [{}], "maximum cpu usage per Pod is 2.  No limit is specified"),
        ({"type": "Pod", "max": {"cpu": "3"}}, [SMALL, LARGE], "maximum cpu usage per Pod is 3, but limit is 4"),
        (
            {"type": "Pod", "min": {"cpu": "1.2"}},
            [SMALL, LARGE],
            "minimum cpu usage per Pod is 1200m, but request is 1100m",
        ),
    ],
)
def test_pods_that_break_a_limit_range_are_refused(
    store: Store, item: Obj, containers: list[Obj], message: str
) -> None:
    limit_range(store, **({"type": "Container"} | item))
    assert refusal(store, pod(*containers)) == message
    assert store.create("pods", pod({"requests": {"cpu": "1300m"}, "limits": {"cpu": "2", "memory": "1Mi"}}))


def test_an_init_container_counts_for_a_pod_only_above_the_others(store: Store) -> None:
    limit_range(store, type="Pod", max={"cpu": "2"})
    first = {"name": "i", "image": "x:1", "resources": {"limits": {"cpu": "1"}}}
    assert store.create("pods", pod({"limits": {"cpu": "2"}}, init=[first]))
    sidecar = first | {"restartPolicy": "Always"}
    other = pod({"limits": {"cpu": "2"}}, init=[sidecar])
    other["metadata"]["name"] = "other"
    assert refusal(store, other) == "maximum cpu usage per Pod is 2, but limit is 3"


def test_claims_have_to_keep_to_their_limit_range(store: Store) -> None:
    limit_range(store, type="PersistentVolumeClaim", min={"storage": "1Gi"}, max={"storage": "2Gi"})

    def claim(size: str) -> Obj:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}}
        return {"metadata": {"name": "c"}, "spec": spec}

    head = "usage per PersistentVolumeClaim is"
    plural = "persistentvolumeclaims"
    assert refusal(store, claim("3Gi"), plural) == f"maximum storage {head} 2Gi, but request is 3Gi"
    assert refusal(store, claim("1Mi"), plural) == f"minimum storage {head} 1Gi, but request is 1Mi"
    assert store.create(plural, claim("2Gi"))


@pytest.mark.parametrize(
    ("items", "field"),
    [
        ([{}], "spec.limits[0].type"),
        ([{"type": "Node"}], "spec.limits[0].type"),
        ([{"type": "Pod"}, {"type": "Pod"}], "spec.limits[1].type"),
        ([{"type": "Pod", "default": {"cpu": "1"}}], "spec.limits[0].default"),
        ([{"type": "PersistentVolumeClaim"}], "spec.limits[0].limits"),
        ([{"type": "Pod", "min": {"cpu": "2"}, "max": {"cpu": "1"}}], "spec.limits[0].min[cpu]"),
        ([{"type": "Container", "default": {"cpu": "2"}, "max": {"cpu": "1"}}], "spec.limits[0].default[cpu]"),
        ([{"type": "Pod", "maxLimitRequestRatio": {"cpu": "500m"}}], "spec.limits[0].maxLimitRequestRatio[cpu]"),
    ],
)
def test_limit_ranges_that_are_not_valid_are_refused_by_field(store: Store, items: list[Obj], field: str) -> None:
    with pytest.raises(ApiError) as caught:
        store.create("limitranges", {"metadata": {"name": "l"}, "spec": {"limits": items}})
    assert caught.value.details is not None
    assert field in {cause["field"] for cause in caught.value.details["causes"]}

"""Manifests of Jobs and Pods, in the form in which the API server returns them."""

from typing import Any

from events.names import FINALIZER, Annotation
from k8s.reading.pod import CONTROLLER_UID

Manifest = dict[str, Any]


def make_job(name: str, *, has_finalizer: bool = True, uid: str = "", **status: Any) -> Manifest:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid or f"uid-of-{name}",
            "creationTimestamp": "2026-11-21T22:17:11Z",
            "annotations": {Annotation.ID: name, Annotation.SOURCE: "/test", Annotation.VERSION: "1"},
            "finalizers": [FINALIZER] if has_finalizer else [],
        },
        "spec": {"suspend": False, "parallelism": 1, "completions": 1, "backoffLimit": 0},
        "status": status,
    }


def make_pod(name: str, job: str, **status: Any) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-of-{name}",
            "creationTimestamp": "2026-11-21T22:17:11Z",
            "labels": {CONTROLLER_UID: f"uid-of-{job}"},
        },
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running", **status},
    }

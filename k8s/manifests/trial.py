"""A Job that nobody wants: tried (`Cluster.try_job`), never created, it shows whether a namespace takes Jobs. Pure."""

from events.names import MANAGED_BY, Label
from k8s.base import Manifest


def trial(namespace: str, *, instance: str) -> Manifest:
    """As plain as a Job can be, and within every Pod Security Standard; labelled like those of this installation."""
    container: Manifest = {
        "name": "main",
        "image": "trial",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    security: Manifest = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{instance}-takes-jobs",
            "namespace": namespace,
            "labels": {Label.MANAGED_BY: MANAGED_BY, Label.INSTANCE: instance},
        },
        "spec": {
            "suspend": True,
            "template": {
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "securityContext": security,
                    "containers": [container],
                }
            },
        },
    }

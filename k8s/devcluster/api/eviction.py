"""The eviction of a pod: a deletion, with a condition that it is no failure of the pod's. No disruption budgets."""

from k8s.devcluster.api.target import DeleteOptions
from k8s.devcluster.conditions import set_condition
from k8s.devcluster.controllers.tally import is_terminal
from k8s.devcluster.resources import Obj
from k8s.devcluster.store.store import Store
from k8s.devcluster.times import now


def evict(store: Store, key: tuple[str, str], options: DeleteOptions) -> None:
    """`key`: (namespace, name). ApiError 404; 409: `options` mean another pod. A pod that has ended is just deleted."""
    pod = store.get("pods", *key)
    if not options.dry_run and not is_terminal(pod) and "deletionTimestamp" not in pod["metadata"]:
        store.mutate("pods", *key, _mark, subresource="status")
    store.delete(
        "pods",
        *key,
        propagation=options.propagation,
        grace=options.grace,
        uid=options.uid,
        dry_run=options.dry_run,
    )


def _mark(pod: Obj) -> None:
    why = {"reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}
    set_condition(pod, {"type": "DisruptionTarget", "status": "True"} | why, at=now())

"""Finds and sets conditions in an object's status. Pure."""

from k8s.devcluster.resources import Obj


def condition(obj: Obj, kind: str) -> Obj | None:
    """The condition of type `kind`, whatever its status."""
    found: list[Obj] = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in found if item.get("type") == kind), None)


def holds(obj: Obj, kind: str) -> bool:
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def set_condition(obj: Obj, new: Obj, *, at: str) -> bool:
    """Replace or append a condition. Returns whether anything changed. `at`: the time, if the status changed."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    for number, old in enumerate(conditions):
        if old.get("type") != new["type"]:
            continue
        if all(old.get(name) == new.get(name) for name in ("status", "reason", "message")):
            return False
        same = old.get("status") == new["status"] and old.get("lastTransitionTime")
        changed = old["lastTransitionTime"] if same else at
        conditions[number] = _ordered(new, probed=old.get("lastProbeTime"), changed=changed)
        return True
    conditions.append(_ordered(new, probed=new.get("lastProbeTime"), changed=at))
    return True


def _ordered(new: Obj, *, probed: str | None, changed: str) -> Obj:
    made = {"type": new["type"], "status": new["status"], "lastProbeTime": probed}
    made["lastTransitionTime"] = changed
    return made | {name: new[name] for name in ("reason", "message") if new.get(name)}


def job_is_finished(job: Obj) -> bool:
    return holds(job, "Complete") or holds(job, "Failed")


def finish_time(job: Obj) -> str | None:
    """When the Job became Complete or Failed."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            return str(found["lastTransitionTime"])
    return None

"""Values of a pod's own fields, for `fieldRef` and `resourceFieldRef`."""

import json
import os
import re

from k8s.devcluster.resources import Obj

SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
ADDRESS = "127.0.0.1"


def field_value(pod: Obj, source: Obj) -> str:
    """The value of `source["fieldRef"]` or `source["resourceFieldRef"]`; "" if the pod has no such field."""
    if "fieldRef" in source:
        return _field(pod, source["fieldRef"]["fieldPath"])
    return _amount(source["resourceFieldRef"].get("resource", ""))


def _field(pod: Obj, path: str) -> str:
    metadata, spec = pod["metadata"], pod["spec"]
    subscript = SUBSCRIPT.match(path)
    if subscript:
        kind, key = subscript.groups()
        return str((metadata.get(kind) or {}).get(key, ""))
    if path in ("metadata.labels", "metadata.annotations"):
        pairs = sorted((metadata.get(path.removeprefix("metadata.")) or {}).items())
        return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in pairs)
    if path in ("status.podIP", "status.podIPs", "status.hostIP", "status.hostIPs"):
        return ADDRESS  # Its processes are in the machine's own network.
    section, _, name = path.partition(".")
    return str({"metadata": metadata, "spec": spec}.get(section, {}).get(name, ""))


def _amount(resource: str) -> str:
    """The node's amount, which is what containers without limits get: nothing limits processes here."""
    kind = resource.partition(".")[2]
    if kind == "cpu":
        return str(os.cpu_count() or 1)
    if kind == "memory":
        return str(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return "0"

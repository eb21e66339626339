"""Compares the verbs that each role used, by an audit log (audit.k8s.io/v1), with those that its manifests grant.

`python -m tests.k8s.deploy.audit FILE` prints the comparison; the exit code is 1 if they differ.
"""

import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import orjson

from tests.k8s.deploy.manifests import Objects, rendered

ROLES = ("handler", "controller")
CONSOLE = "console"
"""The role of the component that keeps the history; `both` does not include it."""
OPTIONAL = ("components/pod-logs",)
"""Components that grant what a role may use and does not need."""
Verbs = frozenset[str]
"""Each has the form `patch batch/jobs`."""


def granted(objects: Objects, role: str) -> Verbs:
    """What the Roles that are bound to this role's service account allow."""
    account = f"jobrelay-{role}"
    bindings = [manifest for manifest in objects.values() if manifest["kind"] == "RoleBinding"]
    bound = [binding["roleRef"] for binding in bindings if account in {item["name"] for item in binding["subjects"]}]
    rules = [rule for reference in bound for rule in objects[f"{reference['kind']}/{reference['name']}"]["rules"]]
    return frozenset(
        use(verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    )


def used(log: Iterable[bytes]) -> dict[str, Verbs]:
    """What each role asked for, refused or not, by the User-Agent of its processes; `both`: processes with both roles.

    An incomplete line is left out: the last line of a running server may be cut off.
    """
    found = defaultdict(set)
    for line in log:
        if not line.endswith(b"\n"):
            continue
        event = orjson.loads(line)
        program, _, version = event.get("userAgent", "").partition("/")
        role = "both" if program == "jobrelay" else program.removeprefix("jobrelay-")
        if version and role in (*ROLES, CONSOLE, "both") and program.startswith("jobrelay") and "objectRef" in event:
            about = event["objectRef"]
            resource = "/".join(filter(None, (about["resource"], about.get("subresource"))))
            found[role].add(use(event["verb"], about.get("apiGroup", ""), resource))
    return {role: frozenset(verbs) for role, verbs in found.items()}


def use(verb: str, group: str, resource: str) -> str:
    return f"{verb} {group}/{resource}" if group else f"{verb} {resource}"


def differences(log: Iterable[bytes]) -> dict[str, tuple[Verbs, Verbs]]:
    """For each role that ran: the verbs it used but is not granted, and those it is granted but did not use.

    It may use what a component grants, and goes on without.
    """
    needed, most = (_allowed(*components) for components in ((), OPTIONAL))
    return {role: (verbs - most[role], needed[role] - verbs) for role, verbs in used(log).items()}


def _allowed(*components: str) -> dict[str, Verbs]:
    objects = rendered("overlays/nats", "components/console/memory", *components)
    allowed = {role: granted(objects, role) for role in ROLES}
    return {**allowed, CONSOLE: granted(objects, CONSOLE), "both": frozenset().union(*allowed.values())}


def main() -> int:
    with Path(sys.argv[1]).open("rb") as log:
        found = differences(log)
    for role, (surplus, unused) in sorted(found.items()):
        print(f"{role}: not granted: {', '.join(sorted(surplus)) or '-'}; not used: {', '.join(sorted(unused)) or '-'}")
    return 1 if any(surplus or unused for surplus, unused in found.values()) or not found else 0


if __name__ == "__main__":
    sys.exit(main())

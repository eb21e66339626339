"""The audit distinguishes the roles and finds differences. That there are none is tested in tests/e2e."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from k8s.devcluster.server import ServerOptions
from tests.handler.commandline import call_beside
from tests.k8s.deploy.audit import CONSOLE, ROLES, Verbs, differences, granted, used
from tests.k8s.deploy.manifests import rendered
from tests.k8s.devcluster.served import JOBS, make_job, served

HANDLER, CONTROLLER = (granted(rendered("overlays/nats"), role) for role in ROLES)


def line(agent: str, verb: str, group: str, resource: str, **more: Any) -> bytes:
    about = {"apiGroup": group, "resource": resource, "namespace": "jobrelay", **more}
    event = {"kind": "Event", "apiVersion": "audit.k8s.io/v1", "userAgent": agent, "verb": verb, "objectRef": about}
    return orjson.dumps(event) + b"\n"


def lines(agent: str, verbs: Verbs) -> list[bytes]:
    split = [(verb, *reversed(what.rpartition("/")[::2])) for verb, _, what in (item.partition(" ") for item in verbs)]
    return [line(agent, verb, group, resource) for verb, resource, group in split]


def test_a_role_that_used_exactly_its_grants_shows_no_difference() -> None:
    log = lines("jobrelay-handler/0.1.0", HANDLER) + lines("jobrelay-controller/0.1.0", CONTROLLER)
    log += lines("jobrelay/0.1.0", HANDLER | CONTROLLER) + lines("kubectl/v1.36", frozenset({"delete nodes"}))
    nothing: tuple[Verbs, Verbs] = (frozenset(), frozenset())
    assert differences(log) == {"handler": nothing, "controller": nothing, "both": nothing}


def test_verbs_used_without_a_grant_and_grants_not_used_are_found() -> None:
    log = lines("jobrelay-handler/0.1.0", HANDLER - {"get secrets"} | {"list secrets"})
    log.append(line("jobrelay-handler/0.1.0", "get", "", "pods", subresource="log"))
    assert differences(log) == {"handler": (frozenset({"list secrets", "get pods/log"}), frozenset({"get secrets"}))}


def test_what_a_component_grants_may_be_used_and_need_not_be() -> None:
    log = lines("jobrelay-controller/0.1.0", CONTROLLER)
    assert "get pods/log" not in CONTROLLER
    log.append(line("jobrelay-controller/0.1.0", "get", "", "pods", subresource="log"))
    assert differences(log) == {"controller": (frozenset(), frozenset())}


@pytest.mark.parametrize("kind", ["Role", "ClusterRole"])
def test_logs_are_granted_to_the_controller_alone_by_their_component(kind: str) -> None:
    objects = rendered("overlays/nats", "components/namespaces", "components/pod-logs")
    for role in ROLES:
        rules = objects[f"{kind}/jobrelay-{role}"]["rules"]
        assert [rule["verbs"] for rule in rules if "pods/log" in rule["resources"]] == [["get"]] * (
            role == "controller"
        )


def test_the_handler_cannot_watch_jobs_and_no_role_can_list_secrets() -> None:
    assert {"watch batch/jobs", "list pods", "update coordination.k8s.io/leases"} <= CONTROLLER - HANDLER
    assert not [verb for verb in HANDLER | CONTROLLER if verb in ("list secrets", "watch secrets")]


@pytest.mark.parametrize("database", ["memory", "sqlite", "postgresql"])
def test_the_console_can_change_nothing_and_reads_no_secret(database: str) -> None:
    verbs = granted(rendered("overlays/nats", f"components/console/{database}"), CONSOLE)
    assert {verb.split()[0] for verb in verbs} == {"get", "list", "watch"}
    assert {verb.split()[1] for verb in verbs} == {"batch/cronjobs", "batch/jobs", "pods", "pods/log"}
    assert {verb for verb in verbs if verb.endswith("cronjobs")} == {"list batch/cronjobs"}
    assert {verb for verb in verbs if verb.endswith("/log")} == {"get pods/log"}


def test_the_cluster_roles_for_several_namespaces_allow_the_same() -> None:
    objects = rendered("overlays/nats", "components/namespaces", "components/console/memory")
    for role in (*ROLES, CONSOLE):
        name = f"jobrelay-{role}"
        assert objects[f"ClusterRole/{name}"]["rules"] == objects[f"Role/{name}"]["rules"]
        assert f"RoleBinding/{name}" in rendered("namespace/console" if role == CONSOLE else "namespace")


def test_the_lease_is_granted_by_name_and_only_in_our_own_namespace() -> None:
    rules = rendered("overlays/nats")["Role/jobrelay-leader"]["rules"]
    assert [(rule["verbs"], rule.get("resourceNames")) for rule in rules] == [
        (["create"], None),
        (["get", "update"], ["jobrelay"]),
    ]
    assert "RoleBinding/jobrelay-leader" not in rendered("namespace")


@pytest.mark.parametrize(("verbs", "code"), [(HANDLER, 0), (HANDLER - {"get secrets"}, 1), (frozenset[str](), 1)])
def test_the_command_prints_the_comparison_and_fails_where_they_differ(verbs: Verbs, code: int, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(lines("jobrelay-handler/0.1.0", verbs)))
    command = [sys.executable, "-m", "tests.k8s.deploy.audit", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    assert ("not used: get secrets" in done.stdout) is (len(verbs) == len(HANDLER) - 1)


async def test_check_needs_no_more_than_its_role_is_granted(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with served(tmp_path / "cluster", options=ServerOptions(audit=log)) as client:
        common = {"JOBRELAY_KUBECONFIG": str(client.cluster.kubeconfig), "JOBRELAY_SOURCES": "nats://127.0.0.1:1"}
        environs = [{"JOBRELAY_ROLE": role, **common} for role in (*ROLES, CONSOLE)]
        done = await asyncio.gather(*(call_beside("check", "--connect", environ=environ) for environ in environs))
    assert ["cluster: reachable" in result.stderr for result in done] == [True, True, True]
    assert "history: kept in memory" in done[-1].stderr
    asked = used(log.read_bytes().splitlines(keepends=True))
    assert asked == {"handler": {"get batch/jobs"}, "controller": {"list batch/jobs"}, CONSOLE: {"list pods"}}
    assert asked["handler"] <= HANDLER
    assert asked["controller"] <= CONTROLLER


async def test_the_development_cluster_audits_every_request_as_kubernetes_does(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    async with served(tmp_path / "cluster", options=ServerOptions(audit=log)) as client:
        agent = {"User-Agent": "jobrelay-controller/1"}
        await client("POST", JOBS, make_job("one"), **agent)
        await client("GET", f"{JOBS}/one", **agent)
        await client("GET", f"{JOBS}/none", **agent)
        await client("GET", f"{JOBS}?watch=1&timeoutSeconds=1&resourceVersion=1", **agent)
        await client("GET", "/version", **agent)
    events = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    seen = [(event["stage"], event["verb"], event.get("responseStatus", {}).get("code")) for event in events]
    assert seen == [
        ("ResponseComplete", "create", 201),
        ("ResponseComplete", "get", 200),
        ("ResponseComplete", "get", 404),
        ("RequestReceived", "watch", None),
        ("ResponseComplete", "watch", 200),
        ("ResponseComplete", "get", 200),
    ]
    assert events[1]["objectRef"] == {
        "resource": "jobs",
        "namespace": "default",
        "name": "one",
        "apiGroup": "batch",
        "apiVersion": "v1",
    }
    assert events[1]["user"] == {"username": "system:admin"}
    jobs = {f"{verb} batch/jobs" for verb in ("create", "get", "watch")}
    assert used(log.read_bytes().splitlines(keepends=True)) == {"controller": jobs}

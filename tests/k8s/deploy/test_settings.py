"""Every environment name in the manifests is a setting. That settings.env lists all of them is tested in tests/docs."""

import re
from pathlib import Path

import pytest

from handler.settings.history import sqlite_path
from handler.settings.settings import Settings
from k8s.reading.quantity import parse
from tests.docs.settings import variable_of
from tests.k8s.deploy.manifests import OVERLAYS, Objects, containers, data_of, rendered
from tests.paths import DEPLOY

NAMES = {variable_of(name) for name in Settings.model_fields}
FROM_SECRET = {
    "jobrelay-broker": {"JOBRELAY_SOURCES": "amqp://user:password@rabbitmq:5672/"},
    "jobrelay-history": {"JOBRELAY_HISTORY": "postgresql://user:password@postgresql:5432/jobrelay"},
}


def environ(objects: Objects, role: str) -> dict[str, str]:
    """The environment that the kubelet gives the container of this role."""
    (container,) = containers(objects[f"Deployment/jobrelay-{role}"])
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            found |= data_of(objects, "ConfigMap", source["configMapRef"]["name"])
        elif not source["secretRef"].get("optional"):
            found |= FROM_SECRET[source["secretRef"]["name"]]
    return found | {variable["name"]: variable["value"] for variable in container["env"]}


def test_every_name_in_a_manifest_is_a_setting() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".env")]
    named = {name for path in files for name in re.findall(r"JOBRELAY_[A-Z_]+(?=[=}\s,:])", path.read_text())}
    assert "JOBRELAY_ROLE" in named
    streams = {"JOBRELAY_REQUESTS"}
    assert named - streams <= NAMES


@pytest.mark.parametrize("role", ["handler", "controller"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_roles_start_with_what_the_manifests_give_them(overlay: str, role: str) -> None:
    settings = Settings.from_env(environ(rendered(f"overlays/{overlay}"), role))
    assert settings.role == role
    assert settings.log_format == "json"
    assert settings.http_address.startswith("0.0.0.0:")
    assert not settings.namespaces, "the namespace of the service account"


@pytest.mark.parametrize(("database", "scheme"), [("memory", None), ("sqlite", "sqlite"), ("postgresql", "postgresql")])
def test_the_console_starts_with_the_database_of_its_component(database: str, scheme: str | None) -> None:
    given = environ(rendered("overlays/nats", f"components/console/{database}"), "console")
    settings = Settings.from_env(given)
    assert settings.records
    assert settings.history is None if scheme is None else str(settings.history).startswith(f"{scheme}://")


def test_the_database_of_the_console_is_on_its_volume_which_has_room_for_it() -> None:
    objects = rendered("overlays/nats", "components/console/sqlite")
    given = environ(objects, "console")
    settings = Settings.from_env(given)
    (container,) = containers(objects["Deployment/jobrelay-console"])
    (mount,) = container["volumeMounts"]
    assert sqlite_path(str(settings.history)) == f"{mount['mountPath']}/history.db"
    assert given["SQLITE_TMPDIR"] == mount["mountPath"], "the root is read-only"
    claim = objects["PersistentVolumeClaim/jobrelay-history"]["spec"]
    assert parse(claim["resources"]["requests"]["storage"]) > settings.history_max_bytes
    assert claim["accessModes"] == ["ReadWriteOnce"]
    assert objects["Deployment/jobrelay-console"]["spec"]["strategy"] == {"type": "Recreate"}, "one holds the volume"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_draining_ends_before_the_kubelet_kills(overlay: str) -> None:
    objects = rendered(f"overlays/{overlay}", "components/console/memory")
    for role in ("handler", "controller", "console"):
        settings = Settings.from_env(environ(objects, role))
        pod = objects[f"Deployment/jobrelay-{role}"]["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= settings.drain_seconds + 2 * settings.broker_timeout


@pytest.mark.parametrize("component", ["nats-creds", "broker-tls"])
def test_files_that_settings_name_are_mounted_from_a_secret(component: str) -> None:
    objects = rendered("overlays/nats", "components/console/memory", f"components/{component}")
    for role in ("handler", "controller", "console"):
        given = environ(objects, role)
        files = {Path(value) for name, value in given.items() if value.startswith("/")}
        (container,) = containers(objects[f"Deployment/jobrelay-{role}"])
        assert files
        assert {file.parent for file in files} == {Path(mount["mountPath"]) for mount in container["volumeMounts"]}
        assert all(mount["readOnly"] for mount in container["volumeMounts"])

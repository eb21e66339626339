"""Every environment name in the manifests is a setting. That settings.env lists all of them is tested in tests/docs."""

import re
from pathlib import Path

import pytest

from adapters.registry import adapter_of
from adapters.urls import parse as parse_url
from handler.settings.reach import sqlite_path
from handler.settings.settings import Settings
from k8s.reading.quantity import parse
from tests.docs.settings import variable_of
from tests.k8s.deploy.environs import environ, settings_of
from tests.k8s.deploy.manifests import OVERLAYS, containers, rendered
from tests.paths import DEPLOY

NAMES = {variable_of(name) for name in Settings.model_fields}


def test_every_name_in_a_manifest_is_a_setting() -> None:
    files = [path for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".env")]
    named = {name for path in files for name in re.findall(r"JOBRELAY_[A-Z_]+(?=[=}\s,:])", path.read_text())}
    assert "JOBRELAY_ROLE" in named
    streams = {"JOBRELAY_REQUESTS"}
    assert named - streams <= NAMES


@pytest.mark.parametrize("role", ["handler", "controller"])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_both_roles_start_with_what_the_manifests_give_them(overlay: str, role: str) -> None:
    settings = settings_of(rendered(f"overlays/{overlay}"), role)
    assert settings.role == role
    assert settings.log_format == "json"
    assert settings.http_address.startswith("0.0.0.0:")
    assert not settings.namespaces, "the namespace of the service account"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_choices_for_a_broker_of_three_nodes_are_settings(overlay: str) -> None:
    text = (DEPLOY / "overlays" / overlay / "kustomization.yaml").read_text()
    chosen = dict(re.findall(r"^#? .*(JOBRELAY_[A-Z_]+)='?([^'\s]+)", text, re.MULTILINE))
    settings = Settings.from_env(chosen)
    (url,) = settings.sources
    nodes = parse_url(url, adapter_of(url).rules).hosts
    assert [node.name.partition(".")[0][-2:] for node in nodes] == ["-0", "-1", "-2"]
    assert (settings.nats_replicas or settings.rabbitmq_replicas) == len(nodes)


@pytest.mark.parametrize(("database", "scheme"), [("memory", None), ("sqlite", "sqlite"), ("postgresql", "postgresql")])
def test_the_console_starts_with_the_database_of_its_component(database: str, scheme: str | None) -> None:
    settings = settings_of(rendered("overlays/nats", f"components/console/{database}"), "console")
    assert settings.records
    assert settings.history is None if scheme is None else str(settings.history).startswith(f"{scheme}://")


def test_the_database_of_the_console_is_on_its_volume_which_has_room_for_it() -> None:
    objects = rendered("overlays/nats", "components/console/sqlite")
    given = environ(objects, "console")
    settings = settings_of(objects, "console")
    (container,) = containers(objects["Deployment/jobrelay-console"])
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "history")
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
        settings = settings_of(objects, role)
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

"""The settings that the manifests give to each role."""

from handler.settings.settings import Settings
from tests.k8s.deploy.manifests import Objects, containers, data_of

FROM_SECRET = {
    "jobrelay-broker": {"JOBRELAY_SOURCES": "amqp://user:password@rabbitmq:5672/"},
    "jobrelay-history": {"JOBRELAY_HISTORY": "postgresql://user:password@postgresql:5432/jobrelay"},
}


def environ(objects: Objects, role: str) -> dict[str, str]:
    """The environment that the kubelet gives the container of this role."""
    # A proxy may stand beside it.
    container = next(
        found for found in containers(objects[f"Deployment/jobrelay-{role}"]) if found["name"] == "jobrelay"
    )
    found: dict[str, str] = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            found |= data_of(objects, "ConfigMap", source["configMapRef"]["name"])
        elif not source["secretRef"].get("optional"):
            found |= FROM_SECRET[source["secretRef"]["name"]]
    return found | {variable["name"]: variable["value"] for variable in container["env"]}


def settings_of(objects: Objects, role: str) -> Settings:
    """What the process makes of that. The files of its page have to be there: another one stands for each."""
    given = environ(objects, role)
    files = {name: __file__ for name in given if name.startswith("JOBRELAY_UI_") and name.endswith("_FILE")}
    return Settings.from_env(given | files)

"""What a container is started with: command, variables and directory. Paths lead into the pod's own directory."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from k8s.devcluster.kubelet.downward import field_value
from k8s.devcluster.kubelet.volumes import Lookup, contents
from k8s.devcluster.resources import Obj

REFERENCE = re.compile(r"\$(?:\$|\(([^()]*)\))")


class ConfigMissing(Exception):
    """A variable needs a Secret or ConfigMap, or a key in it, that does not exist (yet)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Ready to start. `command` is not empty."""

    command: list[str]
    env: dict[str, str]
    cwd: Path


class LocalPaths:
    """Stands in for a mount namespace: replaces paths below a mount by local paths."""

    def __init__(self, container: Obj, *, volumes: Path, message: Path) -> None:
        self._local = {container.get("terminationMessagePath", "/dev/termination-log"): str(message)}
        for mount in container.get("volumeMounts") or []:
            below = volumes / mount["name"] / mount.get("subPath", "").lstrip("/")
            self._local.setdefault(mount["mountPath"].rstrip("/") or "/", str(below))
        longest = sorted(self._local, key=len, reverse=True)
        names = "|".join(re.escape(path) for path in longest if path != "/")
        # A path must not begin within another path. It ends where the mount's path ends, or goes on with a slash.
        self._anywhere = re.compile(rf"(?<![\w./-])(?:{names})(?![\w.-])")

    def in_value(self, value: str) -> str:
        """A variable's value, if all of it is such a path."""
        found = self._anywhere.match(value)
        return self._local[found[0]] + value[found.end() :] if found else value

    def in_text(self, text: str) -> str:
        """A command or argument. It may be a script, so all paths in it are replaced."""
        return self._anywhere.sub(lambda found: self._local[found[0]], text)


def prepare(pod: Obj, container: Obj, *, home: Path, paths: LocalPaths, lookup: Lookup) -> Launch:
    """ConfigMissing: the source of a variable does not exist."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "HOSTNAME": pod["spec"].get("hostname") or pod["metadata"]["name"],
    }
    for name, value in _variables(pod, container, lookup):
        env[name] = paths.in_value(value)
    texts = [*container["command"], *(container.get("args") or [])]
    asked = paths.in_value(container.get("workingDir") or "")
    return Launch(
        command=[paths.in_text(expand(text, env)) for text in texts],
        env=env,
        cwd=Path(asked) if asked and Path(asked).is_dir() else home,
    )


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Expand `$(NAME)` like Kubernetes: unknown names stay as they are, `$$` is a dollar sign."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "$$":
            return "$"
        return variables.get(found[1], found[0])

    return REFERENCE.sub(replace, text)


def _variables(pod: Obj, container: Obj, lookup: Lookup) -> Iterator[tuple[str, str]]:
    known: dict[str, str] = {}
    for source in container.get("envFrom") or []:
        for resource, field in (("secrets", "secretRef"), ("configmaps", "configMapRef")):
            if field in source:
                known |= _all_keys(resource, source[field], source.get("prefix") or "", lookup)
    for variable in container.get("env") or []:
        if "valueFrom" in variable:
            value = _value_from(variable["valueFrom"], pod, lookup)
        else:
            value = expand(variable.get("value") or "", known)
        if value is not None:
            known[variable["name"]] = value
    yield from known.items()


def _all_keys(resource: str, source: Obj, prefix: str, lookup: Lookup) -> dict[str, str]:
    obj = _referred(resource, source, lookup)
    if obj is None:
        return {}
    return {prefix + key: value.decode(errors="replace") for key, value in contents(resource, obj).items()}


def _value_from(source: Obj, pod: Obj, lookup: Lookup) -> str | None:
    for resource, field in (("secrets", "secretKeyRef"), ("configmaps", "configMapKeyRef")):
        if field in source:
            return _one_key(resource, source[field], pod["metadata"]["namespace"], lookup)
    return field_value(pod, source)


def _one_key(resource: str, source: Obj, namespace: str, lookup: Lookup) -> str | None:
    obj = _referred(resource, source, lookup)
    if obj is None:
        return None
    value = contents(resource, obj).get(source["key"])
    if value is not None:
        return value.decode(errors="replace")
    if source.get("optional"):
        return None
    kind = "Secret" if resource == "secrets" else "ConfigMap"
    raise ConfigMissing(f"couldn't find key {source['key']} in {kind} {namespace}/{source.get('name')}")


def _referred(resource: str, source: Obj, lookup: Lookup) -> Obj | None:
    """The object; None if it is missing and optional."""
    obj = lookup(resource, source.get("name", ""))
    if obj is None and not source.get("optional"):
        raise ConfigMissing(f'{resource[:-1]} "{source.get("name", "")}" not found')
    return obj

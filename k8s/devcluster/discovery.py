"""What the server says about itself: versions, groups, resources, and as much OpenAPI as kubectl asks for."""

from functools import cache
from typing import Any

from k8s.devcluster.resources import POD_METRICS, RESOURCES, Obj, Resource

VERSION: Obj = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2+devcluster",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
_SUBRESOURCE_VERBS = {"log": ["get"], "finalize": ["update"], "eviction": ["create"]}
_EVICTION = {"group": "policy", "version": "v1", "kind": "Eviction"}


def answer(path: str, address: str, *, metrics: bool) -> Obj | None:
    """The document at `path`, or None. `address`: this server's host:port. `metrics`: it serves metrics.k8s.io."""
    if path == "/version":
        return VERSION
    if path == "/api":
        where = {"clientCIDR": "0.0.0.0/0", "serverAddress": address}
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [where]}
    return _documents(metrics).get(path)


@cache
def _documents(metrics: bool) -> dict[str, Obj]:
    """All documents that do not depend on the address, by path."""
    groups: dict[str, list[Resource]] = {}
    for resource in (*RESOURCES.values(), *([POD_METRICS] if metrics else [])):
        groups.setdefault(resource.api_version, []).append(resource)
    documents: dict[str, Obj] = {}
    openapi: dict[str, Obj] = {}
    for group_version, resources in sorted(groups.items()):
        root = f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"
        documents[root] = _resource_list(group_version, resources)
        documents[f"/openapi/v3{root}"] = _openapi(resources)
        openapi[root[1:]] = {"serverRelativeURL": f"/openapi/v3{root}"}
    documents["/openapi/v3"] = {"paths": openapi}
    named = [_group(group_version) for group_version in sorted(groups) if "/" in group_version]
    documents["/apis"] = {"kind": "APIGroupList", "apiVersion": "v1", "groups": named}
    for group in named:
        documents[f"/apis/{group['name']}"] = {"kind": "APIGroup", "apiVersion": "v1", **group}
    return documents


def _group(group_version: str) -> Obj:
    name, _, version = group_version.partition("/")
    entry = {"groupVersion": group_version, "version": version}
    return {"name": name, "versions": [entry], "preferredVersion": entry}


def _resource_list(group_version: str, resources: list[Resource]) -> Obj:
    listed = []
    for resource in resources:
        entry: dict[str, Any] = {
            "name": resource.plural,
            "singularName": resource.singular,
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": list(resource.verbs),
        }
        if resource.short_names:
            entry["shortNames"] = list(resource.short_names)
        if resource.categories:
            entry["categories"] = list(resource.categories)
        listed.append(entry)
        for subresource in resource.subresources:
            verbs = _SUBRESOURCE_VERBS.get(subresource, ["get", "patch", "update"])
            listed.append(
                {
                    "name": f"{resource.plural}/{subresource}",
                    "singularName": "",
                    "namespaced": resource.namespaced,
                    "kind": resource.kind,
                    "verbs": verbs,
                }
                | (_EVICTION if subresource == "eviction" else {})
            )
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _openapi(resources: list[Resource]) -> Obj:
    """Says only that PATCH has `fieldValidation`: kubectl looks for that before it trusts the server to validate."""
    paths = {}
    for resource in (resource for resource in resources if "patch" in resource.verbs):
        kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
        parameter = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
        root = f"/apis/{resource.api_version}" if resource.group else f"/api/{resource.api_version}"
        paths[f"{root}/namespaces/{{namespace}}/{resource.plural}/{{name}}"] = {
            "patch": {"x-kubernetes-group-version-kind": kind, "parameters": [parameter]}
        }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": VERSION["gitVersion"]}, "paths": paths}

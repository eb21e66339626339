"""Which lists are merged, and by what. All other lists are replaced as a whole."""

MERGE_KEYS = {
    "conditions": "type", "containers": "name", "env": "name", "ephemeralContainers": "name", "hostAliases": "ip",
    "imagePullSecrets": "name", "initContainers": "name", "ownerReferences": "uid", "podIPs": "ip",
    "ports": "containerPort", "resourceClaims": "name", "schedulingGates": "name", "secrets": "name",
    "topologySpreadConstraints": "topologyKey", "volumeDevices": "devicePath", "volumeMounts": "mountPath",
    "volumes": "name",
}  # fmt: skip
"""The field by which a patch merges the items of a list."""
MERGED_SETS = {"finalizers"}
"""Lists of values, each at most once."""
# Server-side apply tells items apart by more than patches do.
_MORE_KEYS = {"ports": "protocol", "topologySpreadConstraints": "whenUnsatisfiable"}
KEY_DEFAULTS = {"protocol": "TCP"}
"""The value of a key in an item that lacks it."""


def list_keys(name: str) -> tuple[str, ...]:
    """The fields by which server-side apply tells apart the items of the list `name`; none: it is not merged."""
    if name not in MERGE_KEYS:
        return ()
    return (MERGE_KEYS[name], _MORE_KEYS[name]) if name in _MORE_KEYS else (MERGE_KEYS[name],)

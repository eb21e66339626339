"""Which pods and pod templates the API accepts. What fields mean to the kubelet is decided elsewhere."""

from decimal import Decimal

from k8s.devcluster.errors import FieldError, duplicate, forbidden_field, invalid, required, unsupported
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.jobpolicy import NOT_NEGATIVE
from k8s.devcluster.rules.metadata import labels
from k8s.devcluster.rules.names import dns_label, environment_name
from k8s.devcluster.rules.placement import is_extended
from k8s.devcluster.rules.quantities import TOO_GREAT
from k8s.devcluster.rules.storage import claim_spec
from k8s.reading.quantity import LARGEST, parse

_PULL = ("Always", "IfNotPresent", "Never")
_MESSAGE = ("File", "FallbackToLogsOnError")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_OPERATORS = ("Equal", "Exists", "Lt", "Gt")
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_IMMUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def new_pod(pod: Obj) -> list[FieldError]:
    errors = pod_spec(pod["spec"], "spec")
    policy = pod["spec"].get("restartPolicy")
    if policy not in ("Always", "OnFailure", "Never"):
        errors.append(unsupported("spec.restartPolicy", policy, ("Always", "OnFailure", "Never")))
    return errors


def changed_pod(new: Obj, old: Obj) -> list[FieldError]:
    """Few fields of a pod's spec can change. The scheduler sets `spec.nodeName` once."""
    if _fixed(new["spec"], old["spec"]) != _fixed(old["spec"], old["spec"]):
        return [forbidden_field("spec", _IMMUTABLE)]
    before, after = old["spec"].get("tolerations") or [], new["spec"].get("tolerations") or []
    if not all(toleration in after for toleration in before):
        why = "existing toleration can not be modified except its tolerationSeconds"
        return [forbidden_field("spec.tolerations", why)]
    return pod_spec(new["spec"], "spec")


def pod_spec(spec: Obj, field: str) -> list[FieldError]:
    """All errors of a spec, but for the restart policy: Jobs allow fewer of them than pods."""
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or []]
    errors = _names(volumes, f"{field}.volumes")
    for number, volume in enumerate(spec.get("volumes") or []):
        errors += volume_source(volume, f"{field}.volumes[{number}]")
    containers = spec.get("containers") or []
    if not containers:
        errors.append(required(f"{field}.containers"))
    errors += _names([found.get("name", "") for found in containers], f"{field}.containers")
    for place in ("containers", "initContainers"):
        for number, container in enumerate(spec.get(place) or []):
            errors += _container(container, f"{field}.{place}[{number}]", set(volumes))
            errors += _restarts(container, f"{field}.{place}[{number}].restartPolicy", place)
    for name, least in (("activeDeadlineSeconds", 1), ("terminationGracePeriodSeconds", 0)):
        value = spec.get(name)
        if value is not None and value < least:
            why = NOT_NEGATIVE if least == 0 else "must be between 1 and 2147483647, inclusive"
            errors.append(invalid(f"{field}.{name}", value, why))
    if spec.get("dnsPolicy") not in _DNS:
        errors.append(unsupported(f"{field}.dnsPolicy", spec.get("dnsPolicy"), _DNS))
    errors += labels(spec.get("nodeSelector") or {}, f"{field}.nodeSelector")
    return errors + _tolerations(spec.get("tolerations") or [], f"{field}.tolerations")


def _fixed(spec: Obj, old: Obj) -> Obj:
    """`spec` without the fields that may change."""
    free = {"activeDeadlineSeconds", "tolerations", "containers", "initContainers"}
    if not old.get("nodeName"):
        free.add("nodeName")
    fixed = {name: value for name, value in spec.items() if name not in free}
    for place in ("containers", "initContainers"):
        fixed[place] = [container | {"image": ""} for container in spec.get(place) or []]
    return fixed


def _names(names: list[str], field: str) -> list[FieldError]:
    errors = []
    for number, name in enumerate(names):
        where = f"{field}[{number}].name"
        if not name:
            errors.append(required(where))
            continue
        errors += [invalid(where, name, message) for message in dns_label(name)]
        if name in names[:number]:
            errors.append(duplicate(where, name))
    return errors


def _container(container: Obj, field: str, volumes: set[str]) -> list[FieldError]:
    errors = []
    if not (container.get("image") or "").strip():
        errors.append(required(f"{field}.image"))
    for name, allowed in (("imagePullPolicy", _PULL), ("terminationMessagePolicy", _MESSAGE)):
        if container.get(name) not in allowed:
            errors.append(unsupported(f"{field}.{name}", container.get(name), allowed))
    for number, variable in enumerate(container.get("env") or []):
        errors += _variable(variable, f"{field}.env[{number}]")
    errors += _mounts(container.get("volumeMounts") or [], f"{field}.volumeMounts", volumes)
    return errors + amounts(container.get("resources") or {}, f"{field}.resources")


def _restarts(container: Obj, field: str, place: str) -> list[FieldError]:
    """Only init containers have a restart policy of their own, which makes them sidecars."""
    policy = container.get("restartPolicy")
    if policy is None:
        return []
    if place == "containers":
        return [forbidden_field(field, "may not be set for non-init containers")]
    return [] if policy == "Always" else [unsupported(field, policy, ("Always",))]


def _variable(variable: Obj, field: str) -> list[FieldError]:
    name = variable.get("name") or ""
    if not name:
        return [required(f"{field}.name")]
    errors = [invalid(f"{field}.name", name, message) for message in environment_name(name)]
    if variable.get("value") and variable.get("valueFrom"):
        errors.append(invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty"))
    return errors


def _mounts(mounts: list[Obj], field: str, volumes: set[str]) -> list[FieldError]:
    errors = []
    seen = set()
    for number, mount in enumerate(mounts):
        where = f"{field}[{number}]"
        name, path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{where}.name"))
        elif name not in volumes:
            message = f'Not found: "{name}"'
            errors.append(FieldError("FieldValueNotFound", f"{where}.name", message))
        if not path:
            errors.append(required(f"{where}.mountPath"))
        elif path in seen:
            errors.append(invalid(f"{where}.mountPath", path, "must be unique"))
        seen.add(path)
    return errors


def _tolerations(tolerations: list[Obj], field: str) -> list[FieldError]:
    errors = []
    for number, toleration in enumerate(tolerations):
        where = f"{field}[{number}]"
        operator, effect = toleration.get("operator") or "Equal", toleration.get("effect")
        if operator not in _OPERATORS:
            errors.append(unsupported(f"{where}.operator", operator, _OPERATORS))
        elif not toleration.get("key") and operator != "Exists":
            why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
            errors.append(invalid(f"{where}.operator", operator, why))
        elif operator == "Exists" and toleration.get("value"):
            why = "value must be empty when `operator` is 'Exists'"
            errors.append(invalid(f"{where}.operator", toleration, why))
        if effect and effect not in _EFFECTS:
            errors.append(unsupported(f"{where}.effect", effect, _EFFECTS))
    return errors


_NAMED = {"persistentVolumeClaim": "claimName", "secret": "secretName", "configMap": "name", "hostPath": "path"}


def volume_source(volume: Obj, field: str) -> list[FieldError]:
    """There must be exactly one source, with what it needs. By now, a volume without any has become an emptyDir."""
    sources = [name for name, source in volume.items() if name != "name" and source is not None]
    errors = [forbidden_field(f"{field}.{name}", "may not specify more than 1 volume type") for name in sources[1:]]
    for name in sources[:1]:
        needed = _NAMED.get(name)
        if needed and not volume[name].get(needed):
            errors.append(required(f"{field}.{name}.{needed}"))
    if "ephemeral" in sources[:1]:
        template = volume["ephemeral"].get("volumeClaimTemplate")
        where = f"{field}.ephemeral.volumeClaimTemplate"
        errors += claim_spec(template.get("spec") or {}, f"{where}.spec") if template else [required(where)]
    return errors


_STANDARD = ("cpu", "memory", "ephemeral-storage")


def amounts(resources: Obj, field: str) -> list[FieldError]:
    """Errors of `limits` and `requests`. They must be equal for extended resources, which cannot be overcommitted."""
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    errors = []
    for place, given in (("limits", limits), ("requests", requests)):
        for name, amount in given.items():
            errors += _amount(name, amount, f"{field}.{place}")
    for name, amount in requests.items():
        if name in limits and is_extended(name) and parse(amount) != parse(limits[name]):
            why = f"must be equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{field}.requests", str(amount), why))
        elif name in limits and parse(amount) > parse(limits[name]):
            why = f"must be less than or equal to {name} limit of {limits[name]}"
            errors.append(invalid(f"{field}.requests", str(amount), why))
        elif name not in limits and is_extended(name):
            errors.append(required(f"{field}.limits", "Limit must be set for non overcommitable resources"))
    return errors


def _amount(name: str, amount: str, field: str) -> list[FieldError]:
    errors = []
    if "/" not in name and name not in _STANDARD and not name.startswith("hugepages-"):
        errors.append(invalid(field, name, "must be a standard resource for containers"))
    if abs(parse(amount)) > LARGEST:
        errors.append(invalid(f"{field}.{name}", str(amount), TOO_GREAT))
    if parse(amount) < 0:
        errors.append(invalid(f"{field}.{name}", str(amount), NOT_NEGATIVE))
    if is_extended(name) and parse(amount) % 1 != Decimal():
        errors.append(invalid(f"{field}.{name}", str(amount), "must be an integer"))
    return errors

"""Which volumes a pod may have. What is in them when it starts is not decided here."""

from k8s.devcluster.claims_rules import claim_spec
from k8s.devcluster.errors import FieldError, forbidden_field, required
from k8s.devcluster.resources import Obj

_NAMED = {"persistentVolumeClaim": "claimName", "secret": "secretName", "configMap": "name", "hostPath": "path"}


def volume_source(volume: Obj, field: str) -> list[FieldError]:
    """Exactly one source (none given has become an emptyDir by now), and what that source needs."""
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

"""Which Leases the API accepts."""

from k8s.devcluster.errors import FieldError, invalid
from k8s.devcluster.resources import Obj
from k8s.devcluster.rules.jobpolicy import NOT_NEGATIVE


def lease_rules(lease: Obj) -> list[FieldError]:
    spec = lease.get("spec") or {}
    errors = []
    for name, least, why in (
        ("leaseDurationSeconds", 1, "must be greater than 0"),
        ("leaseTransitions", 0, NOT_NEGATIVE),
    ):
        value = spec.get(name)
        if value is not None and value < least:
            errors.append(invalid(f"spec.{name}", value, why))
    return errors

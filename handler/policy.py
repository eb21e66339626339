"""What the operator's settings let requests ask for. Pure: a request and the settings in, refusals out.

Intake judges what comes from a broker, and the controller what stands on a Job: both may have been written by others.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from events.names import BY_FUNCTION, DOMAIN, EPHEMERAL, PAYLOAD_PREFIX, Annotation, Label
from events.problems import FieldError, path_of, told
from events.request.container import Ephemeral, SecurityContext
from events.request.job import JobSpec
from events.request.request import JobRequest
from handler.settings.policy import PolicySettings, id_range
from k8s.manifests.job import Rendered
from k8s.reading.quantity import parse

_KUBERNETES = ("kubernetes.io", "k8s.io", "x-k8s.io")
_CONTAINERS_OWN = ("cpu", "memory", "ephemeral-storage")
_TAKEN = frozenset({Label.APP, Label.NAME, Label.MANAGED_BY, "controller-uid", "job-name"})
"""Labels that jobrelay or Kubernetes' Job controller sets, and others of the latter's prefix."""
_BATCH = "batch.kubernetes.io"
_OURS = "jobrelay-"
"""Begins the names of Secrets of the installation itself."""
_EPHEMERAL_CLAIM = re.compile(rf"-{EPHEMERAL}\d+$", re.ASCII)
"""Ends the name of a claim that was made for a pod of a request."""
_MAXIMA = {
    "parallelism": "MAX_PARALLELISM",
    "completions": "MAX_COMPLETIONS",
    "active_deadline_seconds": "MAX_DEADLINE_SECONDS",
    "ttl_seconds_after_finished": "MAX_TTL_SECONDS",
}
"""Settings that limit numbers of the Job, by the field."""


def refusals(request: JobRequest, settings: PolicySettings, *, namespaces: tuple[str, ...]) -> list[FieldError]:
    """The rules the request breaks, as many as are `told`, each naming its field, its setting and what is allowed.

    `namespaces`: those that are allowed.
    """
    home = request.job.namespace or namespaces[0]
    found = [*service_refusals(request.service, settings, namespace=home), *_of_job(request.job, settings, namespaces)]
    if request.failover is not None:
        other = failover_refusals(request.failover.job, settings, home=home)
        found += [replace(error, path=f"failover.{error.path}") for error in other]
    return [*told(found)] if found else []


def service_refusals(service: str | None, settings: PolicySettings, *, namespace: str) -> list[FieldError]:
    """Whether requests whose Jobs are in this namespace may name this service."""
    if service is None or not settings.services:
        return []
    allowed = settings.services_in(namespace)
    return [] if _matches(service, allowed) else [_not_allowed("service", "SERVICES", allowed)]


def failover_refusals(job: JobSpec, settings: PolicySettings, *, home: str) -> list[FieldError]:
    """The rules that the Job of a failover breaks. It stays in `home`, the namespace of the Job that it follows."""
    if job.namespace in (None, home):
        return _of_job(job, settings, (home,))
    away = FieldError("job.namespace", "must be that of the Job which it follows: leave it out")
    return [away, *_of_job(job.model_copy(update={"namespace": None}), settings, (home,))]


def may_reply(topic: str, allowed: Sequence[str]) -> bool:
    """Whether lifecycle events may go to this topic of the requester's. `allowed`: the patterns of the setting."""
    return _matches(topic, allowed)


def kueue_refusals(rendered: Rendered) -> list[FieldError]:
    """Fields of a request, or its function, that would have us decide when the Job runs, where Kueue decides it."""
    queueing, notes = rendered.queueing, rendered.job["metadata"]["annotations"]
    asked = {
        "concurrency": queueing.key is not None,
        "exclusive": queueing.exclusive,
        "dependencies": bool(queueing.dependencies),
        "runAt": queueing.run_at is not None,
        "retryDelay": Annotation.RETRY in notes,
        "schedule": rendered.scheduled,
        "job.spec.suspend": notes.get(Annotation.SUSPENDED_BY) == BY_FUNCTION,
    }
    return [
        FieldError(field, "is not to be had: Kueue decides when the Job runs")
        for field, is_asked in asked.items()
        if is_asked
    ]


def _of_job(job: JobSpec, settings: PolicySettings, namespaces: tuple[str, ...]) -> list[FieldError]:
    found = [*_names(job, settings, namespaces)]
    # Most requests have few of the fields that the other rules are about. A test holds these to what the rules read.
    if job.env_ref or job.image_pull_secrets:
        found += _secrets(job, settings)
    if job.volume is not None or job.volumes:
        found += _volumes(job, settings)
    if job.labels:
        found += _keys("labels", job.labels, settings.label_prefixes, taken=_TAKEN)
        found += _unprefixed(job.labels, settings.labels)
    if job.annotations:
        found += _keys("annotations", job.annotations, settings.annotation_prefixes)
    if job.resources.limits or job.resources.requests or job.gpu_enable or job.gpu_number:
        found += _resources(job, settings)
    found += _numbers(job, settings)
    if job.security_context is not None:
        found += _security(job.security_context, settings)
    return found


def _names(job: JobSpec, settings: PolicySettings, namespaces: tuple[str, ...]) -> Iterator[FieldError]:
    if job.namespace is not None and job.namespace not in namespaces:
        yield _not_allowed("job.namespace", "NAMESPACES", namespaces)
    if not _matches(job.image, settings.images):
        yield _not_allowed("job.image", "IMAGES", settings.images)
    if job.service_account is not None and job.service_account not in settings.service_accounts:
        yield _not_allowed("job.serviceAccount", "SERVICE_ACCOUNTS", settings.service_accounts)
    wanted = job.priority_class_name
    if wanted is not None and not _matches(wanted, settings.priority_classes):
        yield _not_allowed("job.priorityClassName", "PRIORITY_CLASSES", settings.priority_classes)


def _secrets(job: JobSpec, settings: PolicySettings) -> Iterator[FieldError]:
    for index, reference in enumerate(job.env_ref):
        if reference.type == "secret":
            yield from _secret(f"job.envRef[{index}].name", reference.name, "SECRETS", settings.secrets)
    for index, pull in enumerate(job.image_pull_secrets or ()):
        path = f"job.imagePullSecrets[{index}].name"
        yield from _secret(path, pull.name, "PULL_SECRETS", settings.pull_secrets)


def _secret(path: str, name: str, setting: str, allowed: tuple[str, ...]) -> Iterator[FieldError]:
    """`allowed`: the patterns of the setting. A plain `*` does not open jobrelay's own, such as `jobrelay-broker`."""
    if name.startswith(PAYLOAD_PREFIX):
        yield FieldError(path, f"is a request's own: no setting allows {PAYLOAD_PREFIX}*")
    elif not _matches(name, [one for one in allowed if one.startswith(_OURS) or not name.startswith(_OURS)]):
        yield _not_allowed(path, setting, allowed)


def _volumes(job: JobSpec, settings: PolicySettings) -> Iterator[FieldError]:
    if job.volume is not None:
        yield from _claim("job.volume.pvc", job.volume.pvc, settings)
    for index, volume in enumerate(job.volumes or ()):
        path = f"job.volumes[{index}]"
        if volume.pvc is not None:
            yield from _claim(f"{path}.pvc", volume.pvc, settings)
        if volume.secret is not None:
            yield from _secret(f"{path}.secret", volume.secret, "SECRETS", settings.secrets)
        if volume.ephemeral is not None:
            yield from _ephemeral(f"{path}.ephemeral", volume.ephemeral, settings)


def _claim(path: str, name: str, settings: PolicySettings) -> Iterator[FieldError]:
    if _EPHEMERAL_CLAIM.search(name):
        yield FieldError(path, f"is a request's own: no setting allows *-{EPHEMERAL}*")
    elif not _matches(name, settings.claims):
        yield _not_allowed(path, "CLAIMS", settings.claims)


def _ephemeral(path: str, asked: Ephemeral, settings: PolicySettings) -> Iterator[FieldError]:
    if settings.max_claim_storage is None:
        yield FieldError(path, "is not allowed: JOBRELAY_MAX_CLAIM_STORAGE is empty")
    elif parse(asked.storage) > parse(settings.max_claim_storage):
        yield _too_much(f"{path}.storage", "MAX_CLAIM_STORAGE", settings.max_claim_storage)
    wanted = asked.storage_class_name
    if wanted is not None and not _matches(wanted, settings.storage_classes):
        yield _not_allowed(f"{path}.storageClassName", "STORAGE_CLASSES", settings.storage_classes)


def _keys(
    field: str, given: Mapping[str, str], allowed: tuple[str, ...], *, taken: frozenset[str] = frozenset()
) -> Iterator[FieldError]:
    setting = "LABEL_PREFIXES" if field == "labels" else "ANNOTATION_PREFIXES"
    for key in given:
        path = path_of(["job", field, key])
        prefix = key.rpartition("/")[0]
        if key in taken or _within(prefix, (_BATCH,)):
            yield FieldError(path, "is set by jobrelay or by Kubernetes")
        elif _within(prefix, (DOMAIN,)):
            yield FieldError(path, f"is jobrelay's own: {DOMAIN} is reserved")
        elif prefix and not _matches(prefix, _naming(prefix, allowed)):
            message = f"has a prefix that is not allowed by JOBRELAY_{setting}"
            yield FieldError(path, message, ", ".join(["no prefix", *allowed]))


def _unprefixed(labels: Mapping[str, str], allowed: tuple[str, ...]) -> Iterator[FieldError]:
    for key in labels:
        if "/" not in key and key not in _TAKEN and not _matches(key, allowed):
            yield _not_allowed(path_of(["job", "labels", key]), "LABELS", allowed)


def _naming(prefix: str, patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns that may allow this prefix: a plain `*` does not allow Kubernetes' own prefixes."""
    if not _within(prefix, _KUBERNETES):
        return patterns
    return tuple(pattern for pattern in patterns if pattern.endswith(_KUBERNETES))


def _within(prefix: str, domains: Sequence[str]) -> bool:
    return any(prefix == domain or prefix.endswith(f".{domain}") for domain in domains)


def _resources(job: JobSpec, settings: PolicySettings) -> Iterator[FieldError]:
    for kind, amounts in (("limits", job.resources.limits), ("requests", job.resources.requests)):
        for name, amount in amounts.items():
            path = path_of(["job", "resources", kind, name])
            if name == settings.gpu_resource:
                yield from _gpus(path, parse(amount) > settings.max_gpus, settings)
            elif name in settings.limits and parse(amount) > parse(settings.limits[name]):
                yield _too_much(path, f"MAX_{name.upper().replace('-', '_')}", settings.limits[name])
            elif name not in _CONTAINERS_OWN and not _matches(name, settings.extended_resources):
                yield _not_allowed(path, "EXTENDED_RESOURCES", settings.extended_resources)
    if job.gpus and settings.gpu_resource in {**job.resources.limits, **job.resources.requests}:
        yield FieldError("job.gpuEnable", f"means {settings.gpu_resource}, which job.resources names too")
    yield from _gpus("job.gpuNumber" if job.gpu_number else "job.gpuEnable", job.gpus > settings.max_gpus, settings)


def _gpus(path: str, too_many: bool, settings: PolicySettings) -> Iterator[FieldError]:
    if too_many:
        yield _too_much(path, "MAX_GPUS", str(settings.max_gpus))


def _numbers(job: JobSpec, settings: PolicySettings) -> Iterator[FieldError]:
    for field, asked, most in (
        ("parallelism", job.parallelism, settings.max_parallelism),
        ("completions", job.completions, settings.max_completions),
        ("active_deadline_seconds", job.active_deadline_seconds, settings.max_deadline_seconds),
        ("ttl_seconds_after_finished", job.ttl_seconds_after_finished, settings.max_ttl_seconds),
    ):
        if asked is not None and most is not None and asked > most:
            yield _too_much(f"job.{JobSpec.model_fields[field].alias}", _MAXIMA[field], str(most))


def _security(asked: SecurityContext, settings: PolicySettings) -> Iterator[FieldError]:
    ids = [("runAsUser", asked.run_as_user), ("runAsGroup", asked.run_as_group), ("fsGroup", asked.fs_group)]
    ids += [(f"supplementalGroups[{index}]", group) for index, group in enumerate(asked.supplemental_groups or ())]
    for field, id_ in ids:
        if id_ is not None and not any(id_ in id_range(text) for text in settings.user_ids):
            path = f"job.securityContext.{field}"
            yield _not_allowed(path, "USER_IDS", settings.user_ids)
        elif field == "runAsUser" and id_ == 0 and settings.pod_security == "restricted":
            yield FieldError("job.securityContext.runAsUser", "is root, which JOBRELAY_POD_SECURITY does not allow")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return "*" in patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def _not_allowed(path: str, setting: str, allowed: tuple[str, ...]) -> FieldError:
    return FieldError(path, f"is not allowed by JOBRELAY_{setting}", ", ".join(allowed) or "none")


def _too_much(path: str, setting: str, most: str) -> FieldError:
    return FieldError(path, f"is more than JOBRELAY_{setting} allows", f"at most {most}")

"""Decodes what we use of a Job's pod template. Kubernetes lets nobody change it once the Job has started."""

from typing import Any

import msgspec
from msgspec import Raw

from events.names import Annotation, Label
from k8s.reading.metadata import Wire
from k8s.reading.pod import DEFAULT_CONTAINER


class TemplateAnnotations(Wire, rename=lambda name: getattr(Annotation, name.upper())):
    """`event` stays raw: it may be long, and only its presence matters."""

    job: str | None = None
    attempt: str | None = None
    id: str | None = None
    source: str | None = None
    run: str | None = None
    event: Raw = Raw()
    default_container: str | None = msgspec.field(default=None, name=DEFAULT_CONTAINER)


class TemplateLabels(Wire, rename=lambda name: getattr(Label, name.upper())):
    instance: str | None = None
    request: str | None = None
    schedule: str | None = None
    name: str | None = None
    service: str | None = None


class TemplateMetadata(Wire):
    annotations: TemplateAnnotations | None = None
    labels: TemplateLabels | None = None


class Template(Wire):
    """`spec` stays raw: few Jobs need it, see `variables`."""

    metadata: TemplateMetadata | None = None
    spec: Raw = Raw()

    @property
    def annotations(self) -> TemplateAnnotations:
        return (self.metadata and self.metadata.annotations) or _NO_ANNOTATIONS

    @property
    def labels(self) -> TemplateLabels:
        return (self.metadata and self.metadata.labels) or _NO_LABELS


_NO_ANNOTATIONS, _NO_LABELS = TemplateAnnotations(), TemplateLabels()
NO_TEMPLATE = Template()


class _Variable(Wire):
    name: str
    value: Any = None


class _Container(Wire):
    env: list[_Variable] | None = None


class _PodSpec(Wire):
    containers: list[_Container] | None = None


_POD_SPEC = msgspec.json.Decoder(_PodSpec)


def variables(template: Template) -> dict[str, str]:
    """The variables of its containers that have a value of their own; of one that several have, the first."""
    if not template.spec:
        return {}
    try:
        pod = _POD_SPEC.decode(template.spec)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for container in pod.containers or ():
        for variable in container.env or ():
            if isinstance(variable.value, str):
                # Kubernetes expands $(NAME) in values, so what must stay literal has its `$` doubled.
                found.setdefault(variable.name, variable.value.replace("$$", "$"))
    return found

"""A field that there is not: what its author meant is found, and only a field that exists is named."""

import re
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from events.functions.file import FunctionsFile
from events.functions.functions import Function
from events.problems import explain, path_of
from events.request.request import JobRequest
from events.words import NEVER, WORDS
from k8s.manifests.schema import unfit
from tests.events.walking import Place, fields, has, nested, places

_NAMED = re.compile(r"\{([A-Za-z.]+)\}")
REQUEST = list(places(JobRequest))
FUNCTION = [(place, model) for place, model in places(Function) if model is not Function] + [((), Function)]


def said(name: str, place: Place = (), model: type[BaseModel] = JobRequest, *, operators: bool = False) -> str:
    """What is said of a field of this name at this place."""
    with pytest.raises(ValidationError) as caught:
        model.model_validate(nested(place, {name: 1}))
    path = path_of([*place, name])
    (found,) = [str(one) for one in explain(caught.value, model, operators=operators) if one.path == path]
    return found.removeprefix(f"{path} ")


def in_job(name: str, *place: str | int) -> str:
    return said(name, ("job", *place))


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        (("job",), "restartPolicy", "job.backoffLimit"),
        (("job",), "envFrom", "it is called job.envRef"),
        (("job",), "serviceAccountName", "it is called job.serviceAccount"),
        (("job",), "suspend", "control events suspend and resume it"),
        (("job",), "name", "its name begins with job.prefixName"),
        (("job",), "generateName", "job.prefixName"),
        (("job",), "metadata", "job.labels, job.annotations"),
        (("job",), "spec", "stands in job itself: job.image"),
        (("job",), "containers", "cannot be set by a request: there is one container"),
        (("job",), "template", "cannot be set by a request: what stands in it stands in job itself"),
        (("job",), "persistentVolumeClaim", "job.volume.pvc"),
        (("job",), "volumeMounts", "job.volumes"),
        (("job",), "memory", "job.resources.limits"),
        (("job", "resources"), "memory", "job.resources.limits"),
        (("job", "resources"), "nvidia.com/gpu", "job.gpuEnable"),
        (("job", "env", 0), "valueFrom", "job.envRef"),
        (("job", "envRef", 0), "secretRef", "name and type"),
        (("job", "volumes", 0), "persistentVolumeClaim", "it is called pvc"),
        (("job", "volumes", 0), "hostPath", "cannot be set by a request: job.volumes are claims"),
        (("failover", "job"), "envFrom", "it is called failover.job.envRef"),
        (("failover", "job", "env", 0), "valueFrom", "failover.job.envRef"),
        ((), "cron", "schedule"),
        ((), "spec", "job.image"),
        ((), "apiVersion", "no manifest"),
        ((), "replyTo", "attribute of the event"),
        (("concurrency",), "group", "it is called key"),
        (("retryDelay",), "multiplier", "it is called factor"),
    ],
)
def test_a_word_from_elsewhere_leads_to_what_there_is_here(place: Place, name: str, words: str) -> None:
    found = said(name, place)
    assert words in found
    assert "allowed" not in found


@pytest.mark.parametrize(
    ("place", "name", "where"),
    [
        ((), "image", "into job (job.image)"),
        ((), "backoffLimit", "into job (job.backoffLimit)"),
        ((), "limits", "into resources (job.resources.limits)"),
        ((), "run_as_user", "into securityContext (job.securityContext.runAsUser)"),
        ((), "key", "into concurrency (concurrency.key)"),
        (("job",), "schedule", "beside job (schedule)"),
        (("job",), "timezone", "beside job (timeZone)"),
        (("job",), "concurrency_policy", "beside job (concurrencyPolicy)"),
        (("job",), "pvc", "into volume (job.volume.pvc)"),
        (("job", "env", 0), "image", "into job (job.image)"),
        (("failover",), "image", "into job (failover.job.image)"),
        (("failover", "job"), "schedule", "beside failover (schedule)"),
        (("failover", "job", "resources"), "command", "into job (failover.job.command)"),
    ],
)
def test_a_field_at_another_place_is_told_where_it_belongs(place: Place, name: str, where: str) -> None:
    assert said(name, place) == f"is unknown here: it belongs {where}"


@pytest.mark.parametrize(
    ("place", "name", "words"),
    [
        ((), "type", "filters, such as [{exact: {type: com.example.created}}]"),
        ((), "image", "job.spec.template.spec.containers"),
        ((), "schedule", "events say when it runs"),
        ((), "backoffLimit", "job.spec.backoffLimit"),
        ((), "priority", "it belongs into queue (queue.priority)"),
        ((), "limit", "it belongs into concurrency (queue.concurrency.limit)"),
        (("queue", "concurrency"), "max", "it is called limit"),
        (("filters", 0), "type", "exact, prefix or suffix"),
        (("queue",), "env", "beside queue (env)"),
    ],
)
def test_a_field_of_a_function_is_told_too(place: Place, name: str, words: str) -> None:
    assert words in said(name, place, Function, operators=True)


def test_a_near_name_is_named_alone() -> None:
    assert in_job("comand") == "is unknown, did you mean command?"
    assert in_job("nane", "env", 0) == "is unknown, did you mean name?"
    assert said("functons", (), FunctionsFile, operators=True) == "is unknown, did you mean functions?"


def test_without_a_near_name_everything_that_is_allowed_is_listed() -> None:
    assert in_job("qqq", "resources") == "is unknown (allowed: limits, requests)"


@pytest.mark.parametrize("write", [str.upper, lambda name: re.sub("([A-Z])", r"_\1", name).lower()])
@pytest.mark.parametrize(("place", "model"), REQUEST, ids=lambda part: path_of(part) if isinstance(part, tuple) else "")
def test_another_way_to_write_a_field_is_understood_at_every_place(
    place: Place, model: type[BaseModel], write: Any
) -> None:
    for field in fields(model):
        if (name := write(field)) != field:
            assert said(name, place) == f"is unknown, did you mean {field}?"


def test_each_field_of_a_job_outside_and_each_field_of_a_request_inside_is_pointed_to_its_place() -> None:
    top, job = dict(REQUEST)[()], dict(REQUEST)["job",]
    for field in set(fields(job)) - set(fields(top)):
        assert said(field) == f"is unknown here: it belongs into job (job.{field})"
    for field in set(fields(top)) - set(fields(job)) - {"job", "metadata"}:
        assert in_job(field) == f"is unknown here: it belongs beside job ({field})"


@pytest.mark.parametrize(("place", "model"), REQUEST, ids=lambda part: path_of(part) if isinstance(part, tuple) else "")
def test_what_is_named_for_any_field_at_any_place_exists(place: Place, model: type[BaseModel]) -> None:
    for name in {field for _, other in REQUEST for field in fields(other)} - set(fields(model)):
        pointed = re.search(r"it belongs .*\((\S+)\)$", said(name, place))
        if pointed is not None:
            assert has(JobRequest, re.sub(r"\[\d+\]", "", pointed[1])), (name, pointed[1])


def test_each_word_is_about_a_model_that_lacks_it() -> None:
    models = {model.__name__: model for _, model in [*REQUEST, *places(FunctionsFile)]}
    assert set(WORDS) <= set(models)
    for name, sentences in WORDS.items():
        words = " ".join(sentences).split()
        assert len(set(words)) == len(words), name
        assert not {word.lower() for word in words} & {field.lower() for field in fields(models[name])}, name


def test_each_field_that_a_sentence_names_exists() -> None:
    in_request = {model.__name__ for _, model in REQUEST}
    models = {model.__name__: model for _, model in [*REQUEST, *places(FunctionsFile)]}
    for name, sentences in WORDS.items():
        for path in (found for sentence in sentences.values() for found in _NAMED.findall(sentence)):
            if path.startswith("."):
                assert has(models[name], path[1:]), (name, path)
            elif name in in_request:
                assert has(JobRequest, path), (name, path)
            else:
                assert exists_for_operators(path), (name, path)
    for path in (found for sentence in NEVER.values() for found in _NAMED.findall(sentence)):
        assert has(JobRequest, path), path


def exists_for_operators(path: str) -> bool:
    """Whether it is a field of a function, of its manifest, or of the file."""
    if not path.startswith("job."):
        return has(Function, path) or has(FunctionsFile, path)
    *way, last = path.split(".")[1:]
    unknown = [error for error in unfit("V1Job", nested(tuple(way), {last: None}), ()) if "no field" in error.message]
    return not unknown


def test_a_field_of_a_manifest_that_kubernetes_lacks_does_not_count_as_one() -> None:
    assert exists_for_operators("job.spec.template.spec.containers")
    assert not exists_for_operators("job.spec.template.containers")

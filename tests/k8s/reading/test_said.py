"""What an API server says keeps its sentences and loses the values: recorded answers, and all of Go's ways to print."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, strategies as st

from k8s.api.answers import failure
from k8s.reading.said import without_values
from tests.paths import TRACES

SECRET = "hunter2"


def refusals() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every recorded answer about a field: its text, and the Status object."""
    for path in sorted(TRACES.glob("*.json")):
        for step in json.loads(path.read_text())["steps"]:
            body = (step.get("response") or {}).get("body")
            if isinstance(body, dict) and body.get("kind") == "Status" and " value: " in str(body.get("message")):
                yield body["message"], body


REFUSALS = list(refusals())


def test_recorded_answers_keep_all_but_the_values() -> None:
    told = {without_values(text) for text, _ in REFUSALS}
    assert (
        'Job.batch "negative" is invalid: spec.backoffLimit: Invalid value: must be greater than or equal to 0' in told
    )
    assert (
        'CronJob.batch "badcron" is invalid: spec.schedule: Invalid value: expected exactly 5 fields, found 2: […]'
        in told
    )
    assert 'CronJob.batch "badtz" is invalid: spec.timeZone: Invalid value: unknown time zone …' in told
    assert (
        'Job.batch "empty" is invalid: [spec.template.spec.containers: Required value, '
        'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"]'
    ) in told
    assert (
        ' "" is invalid: patch: Invalid value: json: cannot unmarshal string into Go struct field JobSpec.spec.suspend '
        "of type bool"
    ) in told


@pytest.mark.parametrize("body", [body for _, body in REFUSALS], ids=lambda body: str(body["details"].get("name")))
def test_recorded_values_are_in_no_error(body: dict[str, Any]) -> None:
    error = failure("POST", body["code"], headers={}, body=json.dumps(body).encode())
    causes = [message for _, message in getattr(error, "causes", ())]
    assert causes
    for text in (str(error).partition(" is invalid: ")[2], *causes):
        assert not any(
            value in text for value in ("not valid!", "not a finalizer", "Bad_Name", "every day", "Mars", '"2"')
        )
        assert not any(f": {value}:" in text for value in (5, 0, -1))


@pytest.mark.parametrize(
    "value",
    [
        f'"{SECRET}"',
        f'"a \\" {SECRET}\\n\\u00e4: b, c]"',
        f"{SECRET}",
        "4711",
        "-4711",
        "4711.5e+06",
        "4711Gi",
        "true",
        "null",
        "<nil>",
        f'map[string]string{{"a":"{SECRET}", "b]: }}":""}}',
        f'map[string]interface {{}}{{"a":"{SECRET}"}}',
        f"map[a:{SECRET} b:[c d]]",
        f'[]string{{"a", "{SECRET}"}}',
        f'core.Toleration{{Key:"{SECRET}", Operator:"", TolerationSeconds:(*int64)(0xc000123450)}}',
        f'[]core.Volume{{core.Volume{{Name:"{SECRET}", VolumeSource:core.VolumeSource{{}}}}}}',
        f'&v1.LabelSelector{{MatchLabels:map[string]string{{"a": "{SECRET}"}}}}',
        "[]core.Container(nil)",
        f'{{"name":"{SECRET}","values":[4711,{{"a":null}}]}}',
        f'["{SECRET}",4711]',
        "[4711 2]",
    ],
)
@pytest.mark.parametrize("kind", ["Invalid value", "Unsupported value", "Duplicate value", "Not found", "Too many"])
def test_a_value_in_any_of_gos_formats_is_left_out_and_its_sentence_is_not(kind: str, value: str) -> None:
    said = f'Job.batch "j" is invalid: [a.b: {kind}: {value}: must be "x", "y" (e.g. z), c: Required value]'
    left = f'Job.batch "j" is invalid: [a.b: {kind}: must be "x", "y" (e.g. z), c: Required value]'
    assert without_values(said) == left
    assert without_values(f"c: {kind}: {value}") == f"c: {kind}"
    assert without_values(f'[a: {kind}: "{SECRET}", b: {kind}: "x"]') == f"[a: {kind}, b: {kind}]"


def test_a_value_that_the_sentence_repeats_is_left_out_there_too() -> None:
    assert without_values(f'Invalid value: "{SECRET} a": found [{SECRET} a]') == "Invalid value: found […]"
    assert without_values(f'Invalid value: "{SECRET}\\tb": no zone {SECRET}\tb') == "Invalid value: no zone …"
    long = SECRET * 100_000
    assert SECRET not in without_values(f'Invalid value: "{long}": no zone {long}')


def test_where_the_end_of_a_value_cannot_be_told_nothing_more_is_said() -> None:
    for value in (f'"{SECRET}', f'"x"{SECRET}', f"map[a:{SECRET}", f'core.X{{"{SECRET}'):
        assert without_values(f"a: Invalid value: {value}") == "a: Invalid value: …"


@pytest.mark.parametrize(
    "text",
    [
        "metadata.annotations: Too long: may not be more than 262144 bytes",
        "spec.containers: Required value",
        "data: Forbidden: field is immutable when `immutable` is set",
        'jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=1',
        'admission webhook "policy.example" denied the request: image "evil" is not on the list; ask the platform team',
        'Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spek"',
        "",
    ],
)
def test_free_words_and_sentences_without_a_value_stay_as_they_are(text: str) -> None:
    assert without_values(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f'strconv.ParseInt: parsing "{SECRET}": invalid syntax',
        f'parsing time "{SECRET}" as "2006-01-02T15:04:05Z07:00": cannot parse "{SECRET}" as "2006"',
        "json: cannot unmarshal number 4711.5 into Go struct field JobSpec.spec.backoffLimit of type int32",
    ],
)
def test_what_gos_own_parsers_say_repeats_nothing(text: str) -> None:
    assert SECRET not in without_values(text)
    assert "4711" not in without_values(text)
    assert without_values(text).split()[-1] == text.split()[-1]


@given(st.text(min_size=1))
def test_no_text_breaks_out_of_its_quotes(value: str) -> None:
    sentence = "is not so, b.c: Required value"
    # JSON escapes as Go does, but for what does not matter here.
    said = without_values(f"x: Invalid value: {json.dumps(value)}: {sentence}]")
    assert said.startswith("x: Invalid value: ")
    if value not in sentence:
        assert said == f"x: Invalid value: {sentence}]"

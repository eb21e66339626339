"""The table of a request's fields: each once, with its meaning, its default and the setting that limits it."""

import re

from events.contract.reference import request_table
from events.request.fields import Model
from events.request.job import JobSpec
from events.request.request import JobRequest
from handler.settings.policy import PolicySettings
from handler.settings.settings import PREFIX, Settings
from tests.paths import ROOT

SETTING = re.compile(rf"{PREFIX}[A-Z_]+[A-Z]")
NOT_ABOUT_A_FIELD = {"RUN_AS_USER", "MAX_REQUEST_BYTES"}


def rows() -> list[tuple[str, str, str]]:
    """The cells of each row about a field."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in request_table().splitlines()]
    cells = [[cell.strip() for cell in line] for line in lines]
    return [(name.strip("`"), meaning, default) for name, meaning, default in cells if name.startswith("`")]


def published(model: type[Model]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def test_every_field_is_there_once() -> None:
    fields = [*published(JobRequest), *(f"job.{name}" for name in published(JobSpec))]
    assert sorted(name for name, _, _ in rows()) == sorted(fields)


def test_every_field_has_a_meaning_and_a_default() -> None:
    assert [name for name, meaning, _ in rows() if not meaning] == []
    assert [name for name, _, default in rows() if not default] == [], 'no default, and no "By default …" at the end'


def test_a_default_is_stated_by_the_model_or_by_the_description_but_not_by_both() -> None:
    fields = [(name, field) for model in (JobRequest, JobSpec) for name, field in model.model_fields.items()]
    given = [(name, field) for name, field in fields if isinstance(field.default, int | str) and field.default != ""]
    assert [name for name, field in given if " By default " in (field.description or "")] == []


def test_every_field_is_under_a_heading() -> None:
    headings = re.findall(r"^\| \*\*(.*)\*\* \|  \|  \|$", request_table(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert all(headings)
    assert request_table().splitlines()[2].startswith("| **")


def test_settings_in_the_table_exist_and_every_policy_setting_is_in_it() -> None:
    named = set(SETTING.findall(request_table()))
    assert named <= {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    policy = {name.upper() for name in PolicySettings.model_fields} - NOT_ABOUT_A_FIELD
    assert {f"{PREFIX}{name}" for name in policy} <= named


def test_links_lead_to_the_reference() -> None:
    page = (ROOT / "events" / "REFERENCE.md").read_text()
    anchors = {heading.lower() for heading in re.findall(r"^### (\w+)$", page, re.MULTILINE)}
    assert set(re.findall(r"\(REFERENCE\.md#([a-z]+)\)", request_table())) <= anchors

"""The table of phases is complete, and a phase that is missing wherever phases are listed fails here."""

from typing import get_args

import pytest

from events.contract.codes import codes_told
from events.contract.data import DETAILS, Attempted
from events.contract.models import lifecycle_models
from events.contract.reference import reference
from events.contract.schema import schema_of
from events.lifecycle.schedules import Runs
from events.names import BY_KUEUE, JOB_TYPE, Reason
from events.phases import LAST, TERMINAL, Phase
from handler.commands.showing.phases import STYLES, phase_text
from handler.operations.sentences import ENDING, PARTS, REASONS, sentence
from handler.telemetry.metrics import Metrics

OF_A_JOB = [phase for phase, model in DETAILS.items() if issubclass(model, Attempted)]
EACH = pytest.mark.parametrize("phase", Phase)


def test_every_phase_has_a_model_and_is_shown() -> None:
    assert list(DETAILS) == list(Phase)
    assert set(STYLES) == set(PARTS) == {*Phase, ENDING}


def test_created_ranks_first_last_phases_last_and_those_between_all_differ() -> None:
    between = [phase for phase in OF_A_JOB if phase not in LAST | {Phase.CREATED}]
    ranks = [phase.traits.rank for phase in between]
    assert len(set(ranks)) == len(ranks)
    assert Phase.CREATED.traits.rank < min(ranks)
    assert max(ranks) < min(phase.traits.rank for phase in LAST)


def test_terminal_phases_are_the_last_of_a_job_and_are_repeated() -> None:
    assert LAST & {*OF_A_JOB} == TERMINAL
    assert all(phase.traits.repeated for phase in TERMINAL)


def test_every_terminal_phase_of_a_run_is_counted() -> None:
    assert {*Runs.__struct_fields__} >= TERMINAL


@EACH
def test_data_of_the_phase_are_declared(phase: Phase) -> None:
    model = DETAILS[phase]
    assert model.__name__ == phase.title()
    assert get_args(model.model_fields["phase"].annotation) == (str(phase),)
    assert ("error" in model.model_fields) == bool(codes_told(phase)), "an error has codes, and codes are of an error"


@EACH
def test_schema_and_reference_give_the_status_of_the_phase(phase: Phase) -> None:
    status = phase.traits.status
    assert lifecycle_models()[f"{phase.title()}Data"]["properties"]["status"]["const"] == status
    types = [option["properties"]["type"]["const"] for option in schema_of("lifecycle")["oneOf"]]
    assert f"{JOB_TYPE}.{phase}" in types
    assert f"\n| `{JOB_TYPE}.{phase}` | {'null' if status is None else status} | " in reference(())


@EACH
def test_phase_is_shown_in_a_colour_and_on_one_line_whatever_its_detail_lacks(phase: Phase) -> None:
    assert phase_text(phase).style
    assert "\n" not in sentence(phase, {})


def test_a_phase_of_a_later_version_is_shown_without_colour() -> None:
    assert phase_text("unheard").style == ""
    assert sentence("unheard", {"by": "somebody"}) == "by somebody"


def test_every_reason_to_wait_is_shown_and_described() -> None:
    description = DETAILS[Phase.QUEUED].model_fields["reason"].description or ""
    assert set(REASONS) == {*Reason, BY_KUEUE}
    assert all(f"`{reason}`" in description for reason in REASONS)


@EACH
def test_events_of_the_phase_are_counted_from_zero(phase: Phase) -> None:
    registry = Metrics().registry
    assert registry.get_sample_value("jobrelay_lifecycle_published_total", {"phase": str(phase)}) == 0

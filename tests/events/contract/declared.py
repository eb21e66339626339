"""Compares events that jobrelay publishes with the contract. For every test that makes or sees such events."""

from collections.abc import Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from events.contract.data import ANSWERS, DETAILS, Part, codes_of
from events.names import CONTROL_TYPE, JOB_TYPE
from events.phases import Phase

MODELS: Mapping[str, type[Part]] = {
    **{f"{JOB_TYPE}.{phase}": model for phase, model in DETAILS.items()},
    **{f"{CONTROL_TYPE}.{outcome}": model for outcome, model in ANSWERS.items()},
}


def undeclared(type_: str, data: Any) -> list[str]:
    """What of this event the contract does not declare; empty when the event conforms."""
    model = MODELS.get(type_)
    if model is None:
        return [f"no such type: {type_}"]
    if not isinstance(data, dict) or set(data) != {"id", "status", "detail"}:
        return [f"{type_}: not id, status and detail alone"]
    wrong = [] if data["status"] == _status(type_) else [f"{type_}: status {data['status']}"]
    try:
        # Through JSON, as readers get it.
        model.model_validate_json(orjson.dumps(data["detail"]))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        wrong += [f"{type_}: detail.{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in details]
    code = (data["detail"].get("error") or {}).get("errorCode")
    if code is not None and code not in codes_of(model):
        wrong.append(f"{type_}: errorCode {code}")
    return wrong


def _status(type_: str) -> int | None:
    prefix, _, word = type_.rpartition(".")
    if prefix == CONTROL_TYPE:
        return 99 if word == "rejected" else None
    return Phase(word).traits.status

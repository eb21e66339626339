"""Whether what became of an event is what its file says."""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

from tests.interop.corpus import Event
from tests.interop.running import Ran, Refused

_CHARSET = re.compile(r"charset=([\w-]+)", re.IGNORECASE)
SHORTEST = 5
"""Characters of a value that a message could only have from the event."""


def assert_became(event: Event, became: Ran | Refused) -> None:
    """Fails if it is not what the corpus says: the variables and the file of a container, or the words of a refusal."""
    wanted = event.outcome
    if wanted.runs is None:
        assert isinstance(became, Refused), "it ran"
        assert became.code == wanted.code, became.reason
        assert [words for words in wanted.says if words not in became.reason] == [], became.reason
        assert [value for value in values_of(event) if value in became.reason] == []
    else:
        assert isinstance(became, Ran), became
        variables = {template: became.variables[f"V{number}"] for number, template in enumerate(wanted.wants)}
        assert variables == wanted.runs, variables
        assert_file(event, became.file)


def assert_file(event: Event, file: bytes) -> None:
    """The file of a structured event is its body; that of another has its attributes, and its body as data."""
    if not event.binary:
        assert file == event.body, file
        return
    document = json.loads(file)
    data, encoded = document.pop("data", None), document.pop("data_base64", None)
    assert document == event.attributes, document
    if encoded is not None:
        assert base64.b64decode(encoded) == event.body, file
    elif re.search(r"[/+]json\b", str(document.get("datacontenttype"))):
        assert file.count(b'"data":' + event.body) == 1, file
    else:
        charset = _CHARSET.search(document.get("datacontenttype", ""))
        assert data.encode(charset[1] if charset else "utf-8") == event.body, file


def values_of(event: Event) -> Iterator[str]:
    """What no message may repeat: texts and numbers of headers and body. Content types are no secret."""
    try:
        document = json.loads(event.body)
    except ValueError:
        document = event.body.decode(errors="ignore")
    found = [*_leaves(document), *_leaves(dict(event.headers))]
    yield from (value for value in found if len(value) >= SHORTEST and value != event.content_type)


def _leaves(value: Any) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from () if name.lower().endswith(("contenttype", "content-type")) else _leaves(inner)
        case list():
            for inner in value:
                yield from _leaves(inner)
        case bool() | None:
            return
        case _:
            yield str(value)

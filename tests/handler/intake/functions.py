"""Functions, the files they are defined in, and events that they take."""

from pathlib import Path
from typing import Any

import yaml
from cloudevents.core.v1.event import CloudEvent

from events.cloudevent.event import build
from tests.handler.samples import SOURCE

UPLOADED = "com.example.image.uploaded"


def make_function(name: str = "thumbnail", *, script: str = "true", **fields: Any) -> dict[str, Any]:
    """A function that takes events of type UPLOADED and runs `script` in a shell."""
    container = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script], **fields.pop("container", {})}
    spec = {"template": {"spec": {"containers": [container]}}, "backoffLimit": 0, **fields.pop("spec", {})}
    job = {"apiVersion": "batch/v1", "kind": "Job", "spec": spec, **fields.pop("job", {})}
    return {"name": name, "filters": [{"exact": {"type": UPLOADED}}], "job": job, **fields}


def as_text(*functions: dict[str, Any]) -> str:
    return yaml.safe_dump({"functions": list(functions)})


def write(path: Path, *functions: dict[str, Any]) -> Path:
    path.write_text(as_text(*functions))
    return path


def make_event(event_id: str = "abc", data: object = None, **attributes: Any) -> CloudEvent:
    fixed = {"specversion": "1.0", "type": UPLOADED, "source": SOURCE, "id": event_id}
    return build(fixed | attributes, {"tenant": "a"} if data is None else data)

"""What the JSON API streams."""

from handler.console.http.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()

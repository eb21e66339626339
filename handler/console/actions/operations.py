"""What the JSON API does."""

from handler.console.http.operation import Operation

OPERATIONS: tuple[Operation, ...] = ()

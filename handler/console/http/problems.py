"""What is wrong with a request to the page: a status, a code, and all errors by name (RFC 9457)."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`path`: the name of the parameter or field. `message` quotes no values. `allowed`: what it may be."""

    path: str
    message: str
    allowed: str | None = None


class Problem(Exception):
    """The answer to a request that is not served. `code`: in capitals, for programs; `detail`: a sentence.

    `retry_after`: seconds.
    """

    def __init__(
        self, status: int, code: str, detail: str, *, errors: Sequence[Fault] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.retry_after = retry_after

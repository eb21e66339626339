"""What a problem looks like as JSON (RFC 9457)."""

from handler.console.views.models import Model


class FaultDocument(Model):
    """What is wrong with one parameter or field."""

    path: str
    message: str
    allowed: str | None = None


class ProblemDocument(Model):
    """Why a request was not served. `code`: in capitals, for programs; `errors`: everything that is wrong."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FaultDocument] | None = None

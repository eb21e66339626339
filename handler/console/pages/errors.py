"""What went wrong, as a page for people."""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from handler.console.http.problems import Problem
from handler.console.pages.rendering import render

_ADVICE: Mapping[int, str] = {
    400: "The address of this page names something that it does not know. Begin again without it.",
    401: "Log in, and you get where you wanted to go.",
    403: "If you should be allowed to do this, ask whoever runs this instance.",
    404: "It may have been deleted for its age, or the address may be incomplete.",
    409: "It has changed meanwhile. Look at how it is now, then decide again.",
    413: "Send less, or pass a reference to where it is.",
    422: "Go back to the form: what you filled in is still there.",
    429: "Wait a while, then try again.",
    500: "This is a mistake of ours. The log of the console says more, under this code.",
    503: "This passes: reload the page in a few seconds. What runs goes on meanwhile, and nothing is lost.",
}
"""What to do now, by status."""


def error_page(request: web.Request, problem: Problem) -> web.Response:
    """The page of this problem, with its status. It reads nothing, so it is there when all else is away."""
    words = HTTPStatus(problem.status).phrase
    return render(
        request, "error.html", status=problem.status, problem=problem, words=words, advice=_ADVICE.get(problem.status)
    )

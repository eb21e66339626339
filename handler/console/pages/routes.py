"""The paths of the pages."""

from aiohttp import web

from handler.console.pages import (
    acting,
    assets,
    audit,
    dead,
    done,
    queue,
    request,
    requests,
    schedules,
    stats,
    submit,
    theme,
)

_MODULES = (assets, theme, requests, request, queue, schedules, dead, submit, done, acting, audit, stats)


def routes() -> list[web.RouteDef]:
    """Without the path that all are below."""
    return [route for module in _MODULES for route in module.routes()]

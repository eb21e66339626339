"""values.schema.json of the chart: the whole."""

import json

from tests.docs.chart import values, words
from tests.docs.chart.settings import settings


def schema() -> words.Schema:
    """The values of the chart: ours, and the settings."""
    about = "Values of the Helm chart of jobrelay. Generated from handler/settings and tests/docs/chart by `make docs`."
    members = {**values.own(), "settings": settings()}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "jobrelay"} | words.group(about, members)


def page() -> str:
    """All of k8s/deploy/chart/values.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"

"""The broker of a test."""

import pytest

from tests.adapters.conftest import need_rabbit
from tests.processes import RABBITMQ


@pytest.fixture
def broker(request: pytest.FixtureRequest) -> str:
    """The broker that the test is parametrised with."""
    name = str(request.param)
    if name == RABBITMQ:
        need_rabbit()
    return name

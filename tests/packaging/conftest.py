"""What all tests of packaging look at."""

import pytest

from tests.packaging.building import Built, build
from tests.paths import ROOT


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Wheel and sdist of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))

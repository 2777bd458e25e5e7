"""For all tests: property tests take the same examples each time and as long as they take; campaigns go further."""

import pytest
from hypothesis import settings

from tests.fakes.certificates import Authority

settings.register_profile("suite", parent=settings(), deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return a CA, one for all tests of a module."""
    return Authority(tmp_path_factory.mktemp("ca"))

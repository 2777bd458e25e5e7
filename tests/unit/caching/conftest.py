"""A shared cache in memory of its own, and the pieces that requests to it are made of."""

from collections.abc import Iterator

import pytest

from proxy.caching.store import Store
from tests.fakes.cache import SECRET


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store.create(1 << 20, SECRET)
    yield store
    store.leave()

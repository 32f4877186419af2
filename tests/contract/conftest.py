"""Every test of the contract runs over every store."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.harness import EACH_KIND, Harness, opened


@pytest.fixture(params=EACH_KIND)
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with opened(request.param) as made:
        yield made


@pytest.fixture
def pages_by_text(request: pytest.FixtureRequest) -> bool:
    """Whether the store under test walks over its rows by their keys, which then have to be text."""
    return "without-rowid" in request.node.callspec.params["harness"]

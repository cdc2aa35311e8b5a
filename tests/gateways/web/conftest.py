"""A world of two presses for the time of a test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from web_rig import World, world


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[World]:
    """Run one."""
    async with world(tmp_path) as made:
        yield made

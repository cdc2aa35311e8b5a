"""Fixtures of the replay source's tests."""

import os
from pathlib import Path

import pytest

from tests.sources.replay.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture(scope="session")
def series() -> Path:
    """Return the folder of measured series: below PLANTREE_SHARED, or below `shared` beside the checkout."""
    given = os.environ.get("PLANTREE_SHARED")
    shared = Path(given) if given else Path(__file__).resolve().parents[3].parent / "shared"
    folder = shared / "data" / "series"
    if not folder.is_dir():
        pytest.skip("the measured series are not here: set PLANTREE_SHARED to the folder that holds data/series")
    return folder

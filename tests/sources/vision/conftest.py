"""Fixtures of the vision tests: the real clips, pictures and models, where they are."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vision_data() -> Path:
    """Return the folder of clips and models: below PLANTREE_SHARED, or below `shared` beside the checkout."""
    given = os.environ.get("PLANTREE_SHARED")
    shared = Path(given) if given else Path(__file__).resolve().parents[3].parent / "shared"
    folder = shared / "data" / "vision"
    if not folder.is_dir():
        pytest.skip("clips and models are not here: set PLANTREE_SHARED to the folder that holds data/vision")
    return folder


@pytest.fixture(scope="session")
def coco_names(vision_data: Path) -> list[str]:
    """Return the 80 classes of the reference model."""
    return (vision_data / "models" / "coco_classes.txt").read_text().splitlines()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False, capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("a small disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)

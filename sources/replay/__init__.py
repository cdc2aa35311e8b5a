"""Replay: plays a recorded CSV or Parquet file into variables."""

from server.ports import SourceContext
from sources.replay.source import ReplaySource

__all__ = ["create"]


def create(context: SourceContext) -> ReplaySource:
    """Make the source; raises PlantError when its settings, file or columns are wrong."""
    return ReplaySource(context)

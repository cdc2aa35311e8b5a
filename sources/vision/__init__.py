"""Cameras, with detectors behind them, in a process of their own feed machines: states, alarms and their evidence."""

from server.ports import Source, SourceContext

__all__ = ["create"]


def create(context: SourceContext) -> Source:
    """Return the source; raises PlantError for options that cannot be, or a model that is not there."""
    from sources.vision.source import VisionSource  # noqa: PLC0415  the process and the command line do without it

    return VisionSource(context)

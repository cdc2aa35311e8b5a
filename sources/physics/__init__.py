"""Physics: simulated machines after real mechanics and electrics."""

from server.ports import Source, SourceContext
from sources.physics.source import PhysicsSource

__all__ = ["create"]


def create(context: SourceContext) -> Source:
    """Return the source; raises PlantError for options or machines that cannot be simulated."""
    return PhysicsSource(context)

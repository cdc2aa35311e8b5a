"""The settings of the layout `sparkplug`."""

from typing import Annotated, Protocol

from pydantic import Field

from server.settings import Section

SparkplugId = Annotated[str, Field(min_length=1, pattern=r"^[^/+#\x00]+$")]


class SparkplugSettings(Section):
    """The layout `sparkplug`: Sparkplug B 3.0, an edge node with a device for each machine."""

    group_id: SparkplugId = Field(default="Plantree", description="Group ID of the edge node; no / + #.")
    edge_node_id: SparkplugId = Field(
        default="Plantree", description="Edge Node ID; together with the group unique among all edge nodes."
    )
    primary_host: Annotated[str, Field(pattern=r"^[^/+#\x00]*$")] = Field(
        default="",
        description="Host ID of the primary host application; nothing is published while it is offline. Empty: none.",
    )


class HasSparkplug(Protocol):
    """The settings of the gateway, as far as the layout `sparkplug` needs them."""

    @property
    def sparkplug(self) -> SparkplugSettings:
        """The section of this layout."""
        ...

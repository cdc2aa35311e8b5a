"""The settings of the layout `pubsub`."""

from typing import Annotated, Literal, Protocol

from pydantic import Field

from server.settings import Section

TopicLevel = Annotated[str, Field(min_length=1, pattern=r"^[^/+#\x00]+$")]


class PubSubSettings(Section):
    """The layout `pubsub`: OPC UA PubSub with JSON network messages (OPC 10000-14), one DataSetWriter a machine."""

    publisher_id: TopicLevel = Field(default="plantree", description="PublisherId of the network messages.")
    writer_group: TopicLevel = Field(default="plant", description="Name of the WriterGroup, a level of the topics.")
    prefix: TopicLevel = Field(default="opcua", description="First level of the topics (OPC 10000-14 7.3.4.7).")
    encoding: Literal["verbose", "compact"] = Field(
        default="verbose",
        description="Field encoding: `verbose` reads without knowledge of OPC UA, `compact` names each value's type.",
    )
    key_frame_count: int = Field(
        default=10,
        ge=1,
        le=86_400,
        description="Seconds (publishing intervals of 1 s) between two key frames of a writer; changes go out at once.",
    )


class HasPubSub(Protocol):
    """The settings of the gateway, as far as the layout `pubsub` needs them."""

    @property
    def pubsub(self) -> PubSubSettings:
        """The section of this layout."""
        ...

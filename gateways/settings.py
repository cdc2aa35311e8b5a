"""Settings that gateways share."""

from typing import Annotated

from pydantic import Field

from server.settings import Seconds, Section

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class OutboxSettings(Section):
    """The outbox: what waits on the disk until the peer has confirmed it."""

    max_bytes: int = Field(
        default=268_435_456,
        ge=1_048_576,
        description="Bytes that samples waiting for the peer may take on the disk; the oldest are dropped and counted.",
    )
    max_age: Seconds = Field(
        default=604_800.0, description="Age at which a sample that still waits is dropped and counted, in seconds."
    )
    backlog_rate: Rate = Field(
        default=20_000.0,
        description="Samples a second at most of those that waited through an outage; live ones go first.",
    )
    live_delay: Seconds = Field(
        default=5.0,
        description="A live sample that waits longer joins the backlog, so that live ones stay live, in seconds.",
    )

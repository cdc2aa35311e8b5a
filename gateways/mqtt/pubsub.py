"""The layout `pubsub`: an OPC UA Publisher with JSON network messages, one DataSetWriter a machine (OPC 10000-14)."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from address_space.model import Plant
from gateways.mqtt.layout import NOTHING, Action, LayoutState, Message, ProtocolVersion
from gateways.mqtt.pubsub_json import FieldEncoder, time, times
from gateways.mqtt.pubsub_metadata import Topics, Writer, connection_data, make_writers
from gateways.mqtt.pubsub_read import observed
from gateways.mqtt.pubsub_settings import HasPubSub
from server.store import Batch, Store, now_ticks

__all__ = ["PubSubLayout", "observed"]

JSON = "application/json"
DISABLED, OPERATIONAL, ERROR = 0, 2, 3
"""Values of PubSubState (OPC 10000-14 6.2.1)."""


class PubSubLayout:
    """A Publisher: metadata and status retained; changes as delta frames at once, key frames every n seconds.

    A sample that comes late is a delta frame too: its SourceTimestamp says so, the standard has no other mark.
    """

    name = "pubsub"
    protocols: tuple[ProtocolVersion, ...] = ("5", "3.1.1")
    paused = False
    leaving = False

    def __init__(self, plant: Plant, store: Store, settings: HasPubSub, state: LayoutState) -> None:
        self._store = store
        self._settings = settings.pubsub
        self._topics = Topics(self._settings)
        self._writers = make_writers(plant, state, now_ticks())
        self._fields = [FieldEncoder(variable.declaration, self._settings.encoding) for variable in plant.variables]
        self._writer_of = np.zeros(len(plant.variables), np.int64)
        for index, writer in enumerate(self._writers):
            self._writer_of[[variable.id for variable in writer.variables]] = index
        self._sequence = [0] * len(self._writers)
        self._ticks = 0

    def will(self) -> Message | None:
        """Return the status Error."""
        return self._status(ERROR)

    def subscriptions(self) -> Sequence[tuple[str, int]]:
        """Return nothing: a Publisher takes no messages."""
        return ()

    def birth(self, now: int) -> list[Message]:
        """Return connection, metadata, the status Operational, and a key frame of every writer."""
        discovery = [self._connection(now), *(self._metadata(writer, now) for writer in self._writers)]
        keys = [self._key_frame(index, now) for index in range(len(self._writers))]
        return [*discovery, self._status(OPERATIONAL), *keys]

    def data(self, batch: Batch, *, historical: bool) -> list[Message]:
        """Return delta frames: a network message a writer; a field that changed twice is in two DataSetMessages."""
        del historical
        if len(batch) == 0:
            return []
        now = time(now_ticks())
        writers, rounds = self._writer_of[batch.ids], _occurrence(batch.ids)
        order = np.lexsort((rounds, writers))
        fields = self._encode(batch)
        cuts = np.flatnonzero(np.diff(writers[order]) | np.diff(rounds[order])) + 1
        frames: dict[int, list[str]] = {}
        counts: dict[int, int] = {}
        for rows in np.split(order, cuts):
            index = int(writers[rows[0]])
            payload = ",".join([fields[row] for row in rows.tolist()])
            frames.setdefault(index, []).append(self._frame(index, "ua-deltaframe", payload, now))
            counts[index] = counts.get(index, 0) + len(rows)
        return [self._network_message(index, messages, counts[index]) for index, messages in frames.items()]

    def tick(self, now: int) -> list[Message]:
        """Return the key frames that are due, those of different writers in different seconds."""
        self._ticks += 1
        every = self._settings.key_frame_count
        due = (index for index in range(len(self._writers)) if (index + self._ticks) % every == 0)
        return [self._key_frame(index, now) for index in due]

    def death(self, now: int) -> list[Message]:
        """Return the status Disabled."""
        del now
        return [self._status(DISABLED)]

    def receive(self, topic: str, payload: bytes, now: int) -> Action:
        """Ask for nothing."""
        del topic, payload, now
        return NOTHING

    def _encode(self, batch: Batch) -> list[str]:
        rows = zip(
            batch.ids.tolist(),
            self._store.objects(batch),
            batch.statuses.tolist(),
            times(batch.source_timestamps),
            strict=True,
        )
        fields = self._fields
        return [fields[id_].encode(value, status, source_time) for id_, value, status, source_time in rows]

    def _key_frame(self, index: int, now: int) -> Message:
        ids = [variable.id for variable in self._writers[index].variables]
        samples = [(id_, self._store.read(id_)) for id_ in ids]
        fields = [self._fields[id_].encode(value, status, time(source)) for id_, (value, status, source, _) in samples]
        return self._network_message(index, [self._frame(index, "ua-keyframe", ",".join(fields), time(now))], 0)

    def _frame(self, index: int, kind: str, payload: str, now: str) -> str:
        """Return a DataSetMessage (7.2.5.4.1)."""
        writer = self._writers[index]
        self._sequence[index] = (self._sequence[index] + 1) & 0xFFFFFFFF
        return (
            f'{{"DataSetWriterId":{writer.id},"DataSetWriterName":{json.dumps(writer.name)},'
            f'"SequenceNumber":{self._sequence[index]},'
            f'"MetaDataVersion":{{"MajorVersion":{writer.version},"MinorVersion":{writer.version}}},'
            f'"Timestamp":"{now}","MessageType":"{kind}","Payload":{{{payload}}}}}'
        )

    def _network_message(self, index: int, messages: Sequence[str], rows: int) -> Message:
        """Return a NetworkMessage (7.2.5.3)."""
        settings = self._settings
        text = (
            f'{{"MessageId":"{uuid.uuid4()}","MessageType":"ua-data",'
            f'"PublisherId":{json.dumps(settings.publisher_id)},"WriterGroupName":{json.dumps(settings.writer_group)},'
            f'"Messages":[{",".join(messages)}]}}'
        )
        return Message(self._topics.data(self._writers[index].name), text.encode(), rows=rows, content_type=JSON)

    def _metadata(self, writer: Writer, now: int) -> Message:
        """Return a DataSetMetaData message (7.2.5.5.2)."""
        return self._discovery(
            self._topics.metadata(writer.name),
            "ua-metadata",
            DataSetWriterId=writer.id,
            WriterGroupName=self._settings.writer_group,
            DataSetWriterName=writer.name,
            Timestamp=time(now),
            MetaData=writer.metadata,
        )

    def _connection(self, now: int) -> Message:
        """Return a PubSubConnection message (7.2.5.5.6)."""
        connection = connection_data(self._settings, self._writers, self._topics)
        return self._discovery(self._topics.connection, "ua-connection", Timestamp=time(now), Connection=connection)

    def _status(self, state: int) -> Message:
        """Return a Status message; the broker tells of a crash, so it is not cyclic and has no time (7.2.5.5.5)."""
        return self._discovery(self._topics.status, "ua-status", IsCyclic=False, Status=state)

    def _discovery(self, topic: str, kind: str, **members: Any) -> Message:
        document = {
            "MessageId": str(uuid.uuid4()),
            "MessageType": kind,
            "PublisherId": self._settings.publisher_id,
            **members,
        }
        payload = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return Message(topic, payload, retain=True, content_type=JSON)


def _occurrence(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how often the id of each row came before it, shape (n,)."""
    order = np.argsort(ids, kind="stable")
    starts = np.searchsorted(ids[order], ids[order])
    result = np.empty(len(ids), np.int64)
    result[order] = np.arange(len(ids)) - starts
    return result

"""Publishing: intervals, keep-alives, sequence numbers, requests, and whose subscription it is (OPC 10000-4 5.13)."""

import math
import time
from collections.abc import Callable

import pytest
from asyncua import ua
from asyncua.common.utils import ServiceError

from address_space.model import Role
from server.opcua.subscriptions.limits import Limits
from server.security.principal import authenticated
from tests.server.opcua_subscriptions.subscriptions_rig import (
    CODES,
    GOOD,
    FakeSession,
    FakeSink,
    Rig,
    changes_of,
    item,
    sequence,
    statuses_of,
)


def user(number: int, name: str) -> FakeSession:
    return FakeSession(number, authenticated(name, frozenset({Role.Operator})))


@pytest.mark.parametrize(
    ("asked", "revised"),
    [
        ((100.0, 30, 5), (100.0, 30, 5)),
        ((100.0, 1, 5), (100.0, 15, 5)),
        ((0.0, 30, 5), (10.0, 30, 5)),
        ((-1.0, 30, 5), (10.0, 30, 5)),
        ((math.nan, 30, 5), (10.0, 30, 5)),
        ((1e12, 30, 5), (3.6e6, 24, 5)),
        ((100.0, 0, 0), (100.0, 30, 10)),
        ((1000.0, 2**32 - 1, 2**32 - 1), (1000.0, 86_400, 28_800)),
    ],
)
async def test_parameters_are_revised(rig: Rig, asked: tuple[float, int, int], revised: tuple[float, int, int]) -> None:
    interval, lifetime, keep_alive = asked
    wanted = ua.CreateSubscriptionParameters(interval, lifetime, keep_alive, 0, True, 0)
    made = rig.ask("CreateSubscription", wanted).Parameters
    found = (made.RevisedPublishingInterval, made.RevisedLifetimeCount, made.RevisedMaxKeepAliveCount)
    assert found == revised
    again = ua.ModifySubscriptionParameters(made.SubscriptionId, interval, lifetime, keep_alive, 0, 3)
    changed = rig.ask("ModifySubscription", again).Parameters
    found = (changed.RevisedPublishingInterval, changed.RevisedLifetimeCount, changed.RevisedMaxKeepAliveCount)
    assert found == revised


async def test_a_first_message_comes_at_once_then_keep_alives(rig: Rig) -> None:
    rig.subscribe(RequestedMaxKeepAliveCount=3)
    first = await rig.messages()
    assert [(sequence(it), it.NotificationMessage.NotificationData) for it in first] == [(1, [])]
    rig.publish()
    await rig.cycle(2)
    assert rig.answers() == []
    await rig.cycle()
    (keep_alive,) = rig.answers()
    assert (sequence(keep_alive), keep_alive.AvailableSequenceNumbers) == (1, []), "it uses up no number"


async def test_notifications_are_numbered_and_keep_alives_name_the_next(rig: Rig) -> None:
    number = rig.subscribe(RequestedMaxKeepAliveCount=1)
    rig.create(number, item())
    seen: list[tuple[int, int]] = []
    for value in (1.0, 2.0, 2.0, 3.0):
        rig.write("Press1.Speed", value)
        (message,) = await rig.messages()
        seen.append((sequence(message), len(changes_of(message))))
    assert seen == [(1, 1), (2, 1), (3, 0), (3, 1)]


async def test_sequence_numbers_wrap_to_1(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item())
    rig.service.subscriptions[number].next_sequence = 2**32 - 1
    seen: list[int] = []
    for value in (1.0, 2.0):
        rig.write("Press1.Speed", value)
        seen += [sequence(it) for it in await rig.messages()]
    assert seen == [2**32 - 1, 1]


async def test_messages_can_be_had_again_until_acknowledged(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item())
    originals = []
    for value in (1.0, 2.0, 3.0):
        rig.write("Press1.Speed", value)
        originals += await rig.messages()
    assert originals[-1].AvailableSequenceNumbers == [1, 2, 3]
    for _ in range(2):  # any number of times
        again = rig.ask("Republish", ua.RepublishParameters(number, 2)).NotificationMessage
        assert again == originals[1].NotificationMessage
    rig.publish((number, 2), (number, 2), (number, 77), (99, 1))
    rig.write("Press1.Speed", 4.0)
    await rig.cycle()
    (message,) = rig.answers()
    unknown = CODES.BadSequenceNumberUnknown
    assert [it.value for it in message.Results] == [GOOD, unknown, unknown, CODES.BadSubscriptionIdInvalid]
    assert message.AvailableSequenceNumbers == [1, 3, 4]
    with pytest.raises(ServiceError) as error:
        rig.ask("Republish", ua.RepublishParameters(number, 2))
    assert error.value.code == CODES.BadMessageNotAvailable


@pytest.mark.parametrize("limits", [Limits(retained_messages=2), Limits(retained_bytes=150)])
async def test_what_is_kept_for_republish_is_bounded(limited: Callable[[Limits], Rig], limits: Limits) -> None:
    rig = limited(limits)
    number = rig.subscribe()
    rig.create(number, item())
    for value in range(6):
        rig.write("Press1.Speed", float(value))
        (message,) = await rig.messages()
    assert message.AvailableSequenceNumbers == [5, 6]


async def test_without_a_request_changes_wait_in_their_queues(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item(queue=3))
    await rig.messages()
    for value in (1.0, 2.0):
        rig.write("Press1.Speed", value)
        await rig.cycle()
    assert rig.answers() == []
    rig.publish()  # answered at once: the subscription is late
    (message,) = rig.answers()
    assert [it.value for it in changes_of(message)] == [1.0, 2.0]


async def test_disabled_publishing_keeps_alive_and_tells_all_when_enabled(rig: Rig) -> None:
    number = rig.subscribe(PublishingEnabled=False, RequestedMaxKeepAliveCount=1)
    rig.create(number, item(queue=3))
    rig.write("Press1.Speed", 1.0)
    for _ in range(2):
        (message,) = await rig.messages()
        assert message.NotificationMessage.NotificationData == []
    switched = rig.ask("SetPublishingMode", ua.SetPublishingModeParameters(True, [number, 99])).Parameters
    assert [it.value for it in switched.Results] == [GOOD, CODES.BadSubscriptionIdInvalid]
    assert [it.value for it in await rig.changes()] == [None, 1.0]


async def test_requests_go_to_the_highest_priority_then_to_who_waited_longest(rig: Rig) -> None:
    numbers = [rig.subscribe(Priority=priority) for priority in (1, 200, 1, 7)]
    await rig.messages(requests=4)
    for number in numbers:
        rig.create(number, item())
    await rig.cycle()
    served: list[int] = []
    for _ in numbers:
        rig.publish()
        served += [it.SubscriptionId for it in rig.answers()]
    assert served == [numbers[1], numbers[3], numbers[0], numbers[2]]


async def test_equals_take_turns_when_requests_are_few(rig: Rig) -> None:
    numbers = [rig.subscribe(MaxNotificationsPerPublish=1) for _ in range(2)]
    await rig.messages(requests=2)
    for number in numbers:
        rig.create(number, item(handle=1), item(handle=2), item(handle=3))
    await rig.cycle()
    served: list[int] = []
    for _ in range(6):
        rig.publish()
        served += [it.SubscriptionId for it in rig.answers()]
    assert served == [numbers[0], numbers[1]] * 3


async def test_too_many_requests_push_the_oldest_out(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits(publish_requests=3))
    rig.subscribe()
    requests = [rig.publish() for _ in range(5)]
    sent = list(rig.session.sink.sent)
    assert [request for request, _ in sent] == requests[:2]
    assert rig.answers() == [CODES.BadTooManyPublishRequests] * 2


async def test_a_request_that_waited_too_long_is_answered_so(rig: Rig) -> None:
    rig.subscribe()
    await rig.messages()
    late, patient = rig.publish(timeout=5.0), rig.publish(timeout=0.0)
    publisher = rig.service.publisher(rig.session)
    publisher.look_after(time.monotonic() + 1)
    assert [request for request, _ in rig.session.sink.sent] == [late]
    assert rig.answers() == [CODES.BadTimeout]
    await rig.cycle(5)
    assert [request for request, _ in rig.session.sink.sent] == [patient]


async def test_there_is_no_publishing_without_a_subscription(rig: Rig) -> None:
    rig.publish()
    assert rig.answers() == [CODES.BadNoSubscription]
    number = rig.subscribe()
    rig.publish()
    rig.publish()
    assert rig.answers() == []
    rig.ask("DeleteSubscriptions", ua.DeleteSubscriptionsParameters([number]))
    assert rig.answers() == [CODES.BadNoSubscription] * 2


async def test_a_subscription_that_nobody_asks_for_expires_and_says_so(rig: Rig) -> None:
    number = rig.subscribe(RequestedMaxKeepAliveCount=2, RequestedLifetimeCount=6)
    kept = rig.subscribe(RequestedMaxKeepAliveCount=2, RequestedLifetimeCount=1000)
    rig.create(number, item(), item("Press1.Label"))
    await rig.cycle(5)
    assert number in rig.service.subscriptions
    await rig.cycle(1)
    assert list(rig.service.subscriptions) == [kept]
    assert rig.service.table.count == 0
    rig.publish()
    (message,) = rig.answers()
    assert (message.SubscriptionId, statuses_of(message)) == (number, [CODES.BadTimeout])


async def test_services_and_requests_keep_a_subscription_alive(rig: Rig) -> None:
    number = rig.subscribe(RequestedMaxKeepAliveCount=1, RequestedLifetimeCount=3)
    for _ in range(6):
        await rig.cycle(2)
        rig.ask("SetPublishingMode", ua.SetPublishingModeParameters(True, [number]))
    for _ in range(6):
        await rig.cycle(2)
        rig.publish()
    assert number in rig.service.subscriptions


async def test_there_may_be_so_many_subscriptions(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits(subscriptions_per_session=2, subscriptions=3))
    first, second = FakeSession(1), FakeSession(2)
    for session in (first, first, second):
        rig.subscribe(session)
    for session in (first, second):
        with pytest.raises(ServiceError) as error:
            rig.subscribe(session)
        assert error.value.code == CODES.BadTooManySubscriptions


def transfer(rig: Rig, session: FakeSession, *numbers: int, initial: bool = False) -> list[ua.TransferResult]:
    return rig.ask(
        "TransferSubscriptions", ua.TransferSubscriptionsParameters(list(numbers), initial), session
    ).Parameters.Results


async def test_a_subscription_moves_to_another_session_of_the_same_user(rig: Rig) -> None:
    old, new = user(1, "olga"), user(2, "olga")
    number = rig.subscribe(old)
    rig.create(number, item(), session=old)
    await rig.messages(old)
    rig.publish(session=old)
    (moved,) = transfer(rig, new, number)
    assert (moved.StatusCode.value, moved.AvailableSequenceNumbers) == (GOOD, [1])
    (told,) = rig.answers(old)
    assert statuses_of(told) == [CODES.GoodSubscriptionTransferred]
    rig.publish(session=old)
    assert rig.answers(old) == [CODES.BadNoSubscription]
    rig.write("Press1.Speed", 5.0)
    assert [it.value for it in await rig.changes(new)] == [5.0]
    assert rig.ask("Republish", ua.RepublishParameters(number, 1), new).NotificationMessage.SequenceNumber == 1


@pytest.mark.parametrize("initial", [False, True])
async def test_initial_values_are_sent_after_a_transfer_if_asked_for(rig: Rig, initial: bool) -> None:
    old, new = user(1, "olga"), user(2, "olga")
    rig.write("Press1.Speed", 5.0)
    rig.write("Press1.Label", "a")
    number = rig.subscribe(old)
    wanted = [
        item(handle=1),
        item(handle=2, queue=5),
        item("Press1.Label", 3),
        item(handle=4, mode=ua.MonitoringMode.Sampling),
    ]
    rig.create(number, *wanted, session=old)
    await rig.messages(old)
    transfer(rig, new, number, initial=initial)
    found = sorted((it.handle, it.value) for it in await rig.changes(new))
    assert found == ([(1, 5.0), (2, 5.0), (3, "a")] if initial else [])


async def test_a_subscription_moves_to_nobody_else(rig: Rig) -> None:
    old = user(1, "olga")
    number = rig.subscribe(old)
    anonymous = rig.subscribe(FakeSession(3))
    denied, unknown = CODES.BadUserAccessDenied, CODES.BadSubscriptionIdInvalid
    found = transfer(rig, user(2, "otto"), number, anonymous, 99)
    assert [it.StatusCode.value for it in found] == [denied, denied, unknown]
    (found,) = transfer(rig, FakeSession(4, application="urn:other"), anonymous)
    assert found.StatusCode.value == denied
    (found,) = transfer(rig, FakeSession(5), anonymous)
    assert found.StatusCode.value == GOOD


@pytest.mark.parametrize("delete", [True, False])
async def test_a_closed_session_takes_its_subscriptions_with_it_or_leaves_them(rig: Rig, delete: bool) -> None:
    old, new = user(1, "olga"), user(2, "olga")
    number = rig.subscribe(old)
    rig.create(number, item(), session=old)
    rig.publish(session=old)
    rig.service.session_closed(old, delete=delete)
    assert rig.answers(old) == [CODES.BadSessionClosed]
    assert (number in rig.service.subscriptions) == (not delete)
    (moved,) = transfer(rig, new, number)
    assert moved.StatusCode.value == (CODES.BadSubscriptionIdInvalid if delete else GOOD)
    assert rig.service.table.count == (0 if delete else 1)


async def test_nothing_more_is_published_to_who_does_not_read(limited: Callable[[Limits], Rig]) -> None:
    rig = limited(Limits(write_buffer=1000, stalled=5.0))
    number = rig.subscribe()
    rig.create(number, item(queue=2))
    sink = rig.session.sink
    sink.backlog = 1001
    for value in (1.0, 2.0, 3.0):
        rig.write("Press1.Speed", value)
        assert await rig.messages() == []
    publisher, now = rig.service.publisher(rig.session), time.monotonic()
    publisher.look_after(now + 4)
    assert not sink.aborted
    sink.backlog = 1000
    publisher.look_after(now + 4)
    (message,) = rig.answers()
    assert [it.value for it in changes_of(message)] == [2.0, 3.0]
    rig.write("Press1.Speed", 4.0)
    sink.backlog = 1001
    await rig.messages()
    publisher.look_after(time.monotonic() + 4)
    assert not sink.aborted, "the time began anew"
    publisher.look_after(time.monotonic() + 6)
    assert sink.aborted


async def test_requests_of_a_lost_connection_are_forgotten(rig: Rig) -> None:
    number = rig.subscribe()
    rig.create(number, item())
    rig.publish()
    lost, rig.session.sink = rig.session.sink, FakeSink()
    rig.service.connection_closed(rig.session, lost)
    assert [it.value for it in await rig.changes()] == [None]
    assert lost.sent == []


async def test_one_sessions_trouble_is_not_that_of_the_others(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, sound = FakeSession(1), FakeSession(2)
    for session in (broken, sound):
        rig.create(rig.subscribe(session), item(), session=session)
        rig.publish(session=session)
        rig.publish(session=session)

    def respond(_request: int, _body: bytes) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(broken.sink, "respond", respond)
    await rig.cycle()
    assert broken.sink.aborted
    assert [it.value for message in rig.answers(sound) for it in changes_of(message)] == [None]

"""Monitored items follow the rights of whoever is on the session (OPC 10000-4 5.7.3)."""

from dataclasses import replace

import pytest
from asyncua import ua

from address_space import Role
from server.security.principal import ANONYMOUS, authenticated
from tests.server.opcua_subscriptions.subscriptions_rig import CODES, DISABLED, SAMPLING, FakeSession, Rig, item

ENGINEER = authenticated("egon", frozenset({Role.Engineer}))
DENIED = CODES.BadUserAccessDenied
SECRET = "Press1.Secret"


def change_user(rig: Rig, session: FakeSession, principal: object) -> None:
    session.principal = principal  # type: ignore[assignment]
    rig.service.user_changed(session)


@pytest.fixture
def session() -> FakeSession:
    return FakeSession(7, ENGINEER)


async def seen(rig: Rig, session: FakeSession) -> list[tuple[int, object, int]]:
    return [(it.handle, it.value, it.status) for it in await rig.changes(session)]


@pytest.mark.parametrize("queue", [1, 10])
async def test_a_value_goes_with_the_right_and_comes_back_with_it(rig: Rig, session: FakeSession, queue: int) -> None:
    number = rig.subscribe(session)
    rig.create(number, item(SECRET, 1, queue=queue), item("Press1.Speed", 2, queue=queue), session=session)
    rig.write("Press1.Speed", 1.0)
    rig.write(SECRET, 7.0)
    assert (1, 7.0, 0) in await seen(rig, session)
    rig.write(SECRET, 8.0)  # queued, and not to be seen by the next user
    change_user(rig, session, ANONYMOUS)
    rig.write(SECRET, 9.0)
    rig.write("Press1.Speed", 2.0)
    assert sorted(await seen(rig, session), key=repr) == [(1, None, DENIED), (2, 2.0, 0)]
    rig.write(SECRET, 10.0)
    assert await seen(rig, session) == []
    change_user(rig, session, ENGINEER)
    assert await seen(rig, session) == [(1, 10.0, 0)]
    rig.write(SECRET, 11.0)
    assert await seen(rig, session) == [(1, 11.0, 0)]


async def test_what_was_not_yet_told_is_told_once(rig: Rig, session: FakeSession) -> None:
    number = rig.subscribe(session)
    rig.create(number, item(SECRET, 1), session=session)
    await rig.changes(session)
    for principal in (ANONYMOUS, ENGINEER, ANONYMOUS):
        change_user(rig, session, principal)
    assert await seen(rig, session) == [(1, None, DENIED)]


async def test_modes_are_kept_through_a_change(rig: Rig, session: FakeSession) -> None:
    number = rig.subscribe(session)
    made = rig.create(
        number, item(SECRET, 1, mode=DISABLED), item(SECRET, 2, mode=SAMPLING), session=session
    )  # fmt: skip
    await rig.changes(session)
    change_user(rig, session, ANONYMOUS)
    assert await seen(rig, session) == []
    mode = ua.SetMonitoringModeParameters(number, ua.MonitoringMode.Reporting, [it.MonitoredItemId for it in made])
    rig.ask("SetMonitoringMode", mode, session)
    assert sorted(await seen(rig, session)) == [(1, None, DENIED), (2, None, DENIED)]
    rig.write(SECRET, 5.0)
    assert await seen(rig, session) == []
    change_user(rig, session, ENGINEER)
    assert sorted(await seen(rig, session)) == [(1, 5.0, 0), (2, 5.0, 0)]


async def test_a_sample_that_was_held_is_not_shown(rig: Rig, session: FakeSession) -> None:
    number = rig.subscribe(session)
    rig.create(number, item(SECRET, 1, sampling=10_000.0), session=session)
    await rig.changes(session)
    rig.write(SECRET, 5.0)
    await rig.changes(session)
    change_user(rig, session, ANONYMOUS)
    rig.service.table.due[:] = 0
    assert await seen(rig, session) == [(1, None, DENIED)]
    assert await seen(rig, session) == []


async def test_a_string_follows_the_rights_too(rig: Rig, session: FakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    label = rig.plant.variable("Plant.Press1.Label")
    secret = replace(label, declaration=replace(label.declaration, read_role=Role.Engineer))
    find = rig.space.variable_of
    monkeypatch.setattr(rig.space, "variable_of", lambda node: secret if find(node) == label else find(node))
    number = rig.subscribe(session)
    rig.create(number, item("Press1.Label", 1, queue=10), session=session)
    rig.write("Press1.Label", "one")
    assert (1, "one", 0) in await seen(rig, session)
    rig.write("Press1.Label", "two")
    change_user(rig, session, ANONYMOUS)
    rig.write("Press1.Label", "three")
    assert await seen(rig, session) == [(1, None, DENIED)]
    change_user(rig, session, ENGINEER)
    assert await seen(rig, session) == [(1, "three", 0)]


async def test_the_new_user_s_other_sessions_may_take_the_subscription_over(rig: Rig, session: FakeSession) -> None:
    number = rig.subscribe(session)
    other = FakeSession(8, authenticated("olga", frozenset({Role.Operator})))
    transfer = ua.TransferSubscriptionsParameters([number], False)
    assert rig.ask("TransferSubscriptions", transfer, other).Parameters.Results[0].StatusCode.value == DENIED
    change_user(rig, session, other.principal)
    assert rig.ask("TransferSubscriptions", transfer, other).Parameters.Results[0].StatusCode.is_good()

import pytest

from address_space.model import Role
from server.security.principal import ANONYMOUS, Principal, authenticated
from server.security.roles import GRANTABLE, IMPLIES, effective, parse_roles

OPERATING = {Role.Observer, Role.Operator, Role.Engineer, Role.Supervisor}


def test_every_role_has_its_line() -> None:
    assert set(IMPLIES) == set(Role)


@pytest.mark.parametrize(
    ("role", "operating"),
    [
        (Role.Anonymous, set()),
        (Role.AuthenticatedUser, set()),
        (Role.Observer, {Role.Observer}),
        (Role.Operator, {Role.Observer, Role.Operator}),
        (Role.Engineer, {Role.Observer, Role.Engineer}),
        (Role.Supervisor, {Role.Observer, Role.Operator, Role.Supervisor}),
        (Role.ConfigureAdmin, set()),
        (Role.SecurityAdmin, set()),
    ],
)
def test_what_a_role_lets_operate(role: Role, operating: set[Role]) -> None:
    assert effective(frozenset({role})) & OPERATING == operating


def test_administration_is_implied_by_nothing() -> None:
    others = frozenset(set(Role) - {Role.ConfigureAdmin, Role.SecurityAdmin})
    assert not effective(others) & {Role.ConfigureAdmin, Role.SecurityAdmin}


def test_a_principal_has_what_its_roles_imply() -> None:
    supervisor = Principal("s", frozenset({Role.Supervisor}))
    assert supervisor.has(Role.Operator)
    assert supervisor.has(Role.AuthenticatedUser)
    assert not supervisor.has(Role.Engineer)


def test_whoever_signed_in_is_an_authenticated_user() -> None:
    assert authenticated("nobody", frozenset()).has(Role.AuthenticatedUser)
    assert ANONYMOUS.has(Role.Anonymous)
    assert not ANONYMOUS.has(Role.AuthenticatedUser)


def test_roles_by_name() -> None:
    assert parse_roles(["operator", "Observer"]) == {Role.Operator, Role.Observer}
    assert Role.Anonymous not in GRANTABLE


@pytest.mark.parametrize("name", ["Anonymous", "Boss", ""])
def test_a_role_that_no_user_can_have(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"is not a role that a user can have: choose from AuthenticatedUser, Observer"
    ):
        parse_roles([name])

"""Which role implies which, in this project.

Roles are the well-known ones of OPC 10000-18 4.3 (their use: OPC 10000-3 4.9). The standard leaves to the
server what each may do and whether one contains another; here:

| role              | what it is for                                        | implies                               |
|-------------------|-------------------------------------------------------|---------------------------------------|
| Anonymous         | a session without credentials: browse, read a little  |                                       |
| AuthenticatedUser | any session with valid credentials; may always stop   | Anonymous                             |
| Observer          | reads everything, subscribes, reads history           | AuthenticatedUser                     |
| Operator          | operates: commands, set-points, acknowledges alarms   | Observer                              |
| Engineer          | engineering: fault injection, parameters              | Observer                              |
| Supervisor        | operates, and releases what an operator may not       | Operator, Observer                    |
| ConfigureAdmin    | changes the configuration of the server               | AuthenticatedUser (no operating)      |
| SecurityAdmin     | manages users and certificates                        | AuthenticatedUser (no operating)      |

The administrator that the first start makes is granted all of them.
"""

import functools
from collections.abc import Iterable

from address_space.model import Role

IMPLIES: dict[Role, frozenset[Role]] = {
    Role.Anonymous: frozenset(),
    Role.AuthenticatedUser: frozenset({Role.Anonymous}),
    Role.Observer: frozenset({Role.AuthenticatedUser}),
    Role.Operator: frozenset({Role.Observer}),
    Role.Engineer: frozenset({Role.Observer}),
    Role.Supervisor: frozenset({Role.Operator}),
    Role.ConfigureAdmin: frozenset({Role.AuthenticatedUser}),
    Role.SecurityAdmin: frozenset({Role.AuthenticatedUser}),
}

ALL_ROLES = frozenset(Role)

GRANTABLE = tuple(role for role in Role if role is not Role.Anonymous)
"""What a user can be given, in the order of the standard's table."""


@functools.lru_cache(maxsize=256)
def effective(granted: frozenset[Role]) -> frozenset[Role]:
    """Every role that `granted` gives, directly or by implication."""
    reached: set[Role] = set()
    open_ends = set(granted)
    while open_ends:
        role = open_ends.pop()
        reached.add(role)
        open_ends |= IMPLIES[role] - reached
    return frozenset(reached)


def parse_roles(names: Iterable[str]) -> frozenset[Role]:
    """Roles by name, whatever the case; ValueError names the first that a user cannot be given."""
    known = {role.value.lower(): role for role in GRANTABLE}
    roles: set[Role] = set()
    for name in names:
        role = known.get(name.lower())
        if role is None:
            raise ValueError(f"{name!r} is not a role that a user can have: choose from {', '.join(GRANTABLE)}")
        roles.add(role)
    return frozenset(roles)

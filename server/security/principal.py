"""Who acts: the identity that every plane hands to commands, writes and the audit trail."""

from dataclasses import dataclass

from address_space.model import Role
from server.security.roles import effective


@dataclass(frozen=True, slots=True)
class Principal:
    """A name and the roles granted to it; roles that those imply are found by `has` (OPC 10000-3 4.9)."""

    name: str
    roles: frozenset[Role]

    def has(self, needed: Role) -> bool:
        """Whether the principal holds `needed`, directly or by implication."""
        return needed in effective(self.roles)


ANONYMOUS = Principal("anonymous", frozenset({Role.Anonymous}))


def authenticated(name: str, granted: frozenset[Role]) -> Principal:
    """Make the principal of a user whose credentials were checked: what was granted, and AuthenticatedUser."""
    return Principal(name, effective(granted | {Role.AuthenticatedUser}))

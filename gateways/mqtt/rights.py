"""Whose rights a message has: the broker has checked who may publish where, so the topic tells."""

from collections.abc import Sequence

from gateways.mqtt.wire import matches
from server import quality
from server.ports import CommandError, Identities
from server.security.principal import Principal, authenticated

NOBODY = authenticated("mqtt", frozenset())
"""Who has published where no user is mapped: any credential of the broker's may stop, and nothing else."""


class Rights:
    """`users` are FILTER=USER; the first filter that matches counts."""

    def __init__(self, identities: Identities, users: Sequence[str]) -> None:
        self._identities = identities
        self._users = [(topic, user) for topic, _, user in (entry.partition("=") for entry in users)]

    def principal(self, topic: str) -> Principal:
        """Return who acts by publishing on a topic; raises CommandError when the user that it names is gone."""
        for wanted, user in self._users:
            if matches(wanted, topic):
                principal = self._identities.named(user)
                if principal is None:
                    message = f"{wanted} has the rights of {user}, but there is no such user"
                    raise CommandError(quality.BAD_USER_ACCESS_DENIED, message)
                return principal
        return NOBODY

    def stopper(self, topic: str) -> Principal:
        """Return who stops by publishing on a topic: somebody always may."""
        try:
            return self.principal(topic)
        except CommandError:
            return NOBODY

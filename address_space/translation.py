"""Names and texts of a plant in one language, and which of its languages serves somebody best (RFC 5646, RFC 4647)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LANGUAGE = "en"
"""The language of plant files, and of what the server says itself."""
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{1,8})*")
_SCRIPT, _REGION = 4, 2


@dataclass(frozen=True, slots=True)
class Translation:
    """Words of one language, by the words of the plant file: `names` those of browse names, `texts` all others."""

    language: str
    names: Mapping[str, str]
    texts: Mapping[str, str]

    def name(self, browse_name: str) -> str | None:
        """Return a browse name, or a value of an enumeration; None where it has no translation."""
        return self.names.get(browse_name)

    def text(self, original: str) -> str | None:
        """Return a description or message, also one that is put together of others; None without a translation."""
        found = self._whole(original)
        if found is not None:
            return found
        head, joint, tail = original.rpartition(": ")
        parts = [head, tail] if joint and self._whole(head) else original.split(joint := ", ")
        if len(parts) == 1:
            return None
        translated = [found for part in parts if (found := self._whole(part)) is not None]
        return joint.join(translated) if len(translated) == len(parts) else None

    def _whole(self, original: str) -> str | None:
        return self.texts.get(original) or self.names.get(original)


def tag_of(word: str) -> str | None:
    """Return a language tag as RFC 5646 2.1.1 writes it: `de-at` as `de-AT`; None for what is none."""
    if _TAG.fullmatch(word) is None:
        return None
    language, *rest = word.split("-")
    return "-".join((language.lower(), *(_subtag(part) for part in rest)))


def _subtag(part: str) -> str:
    if part.isalpha() and len(part) == _SCRIPT:
        return part.title()
    return part.upper() if part.isalpha() and len(part) == _REGION else part.lower()


def best(wanted: Sequence[str], there: Sequence[str]) -> str | None:
    """Return which language that is `there` serves best somebody who wants these, in order of preference.

    `de-AT` is served by `de-AT`, else by `de`, else by another German; None where none is served (OPC 10000-4 5.4).
    """
    known = {language.lower(): language for language in there}
    for one in wanted:
        range_ = one.lower()
        while range_:
            if range_ in known:
                return known[range_]
            range_ = range_.rpartition("-")[0]
        language = one.lower().partition("-")[0]
        related = [tag for lower, tag in known.items() if lower.partition("-")[0] == language]
        if language and related:
            return related[0]
    return None

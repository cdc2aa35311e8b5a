"""LocalizedTexts in the languages that the plant has: which one a session gets, and what is said in it.

Nodes and events are made in the plant file's language (`attributes.text`); what a session of another language asks
for is said in that one on its way out (OPC 10000-4 5.4). Texts of clients, as comments are, stay as they came.
"""

# asyncua types integers and times as classes of its own.
# pyright: reportArgumentType=false

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Plant
from address_space.translation import LANGUAGE, Translation
from server.opcua.attributes import NAMESPACE, argument_text, enumeration_text

_BROWSE_NAME, _DISPLAY_NAME = ua.AttributeIds.BrowseName, ua.AttributeIds.DisplayName


class Locale:
    """What the plant says in one language; what that lacks stays in the plant file's."""

    def __init__(self, words: Translation, plant: Plant, space: AddressSpace) -> None:
        self.language = words.language
        self._words = words
        self._space = space
        self._composed = _composed(words, plant)

    def name(self, text: ua.LocalizedText) -> ua.LocalizedText:
        """Return the display name of a node, or of a value of an enumeration."""
        found = self._words.name(text.Text) if text.Text and text.Locale == LANGUAGE else None
        return text if found is None else ua.LocalizedText(found, self.language)

    def text(self, text: ua.LocalizedText) -> ua.LocalizedText:
        """Return a description or message."""
        if not text.Text or text.Locale != LANGUAGE:
            return text
        found = self._composed.get(text.Text) or self._words.text(text.Text)
        return text if found is None else ua.LocalizedText(found, self.language)

    def value(self, found: ua.DataValue, item: ua.ReadValueId) -> ua.DataValue:
        """Return an attribute of one of the plant's nodes; that of any other node as it is."""
        if item.NodeId.NamespaceIndex != NAMESPACE or found.Value is None:
            return found
        named = item.AttributeId == _DISPLAY_NAME
        if named and not _is_own(self._space.read_attribute_value(item.NodeId, _BROWSE_NAME).Value):
            return found
        said = self.variant(found.Value, named=named)
        return found if said is found.Value else replace(found, Value=said)

    def variant(self, given: ua.Variant, *, named: bool = False) -> ua.Variant:
        """Return a value with its LocalizedTexts said otherwise: as names those of arrays, and one that is `named`."""
        kind, value = given.VariantType, given.Value
        if value is None or kind not in (ua.VariantType.LocalizedText, ua.VariantType.ExtensionObject):
            return given
        if isinstance(value, list):
            said: Any = [self._said(one, named=True) for one in value]
        else:
            said = self._said(value, named=named)
        return ua.Variant(said, kind, is_array=given.is_array)

    def reference(self, found: ua.ReferenceDescription) -> ua.ReferenceDescription:
        """Return a reference with its target's display name said otherwise."""
        name = self.name(found.DisplayName) if found.BrowseName.NamespaceIndex == NAMESPACE else found.DisplayName
        return found if name is found.DisplayName else replace(found, DisplayName=name)

    def _said(self, value: Any, *, named: bool) -> Any:
        match value:
            case ua.LocalizedText():
                return self.name(value) if named else self.text(value)
            case ua.Argument():
                return replace(value, Description=self.text(value.Description))
            case ua.EUInformation():
                shown, described = self.text(value.DisplayName), self.text(value.Description)
                return replace(value, DisplayName=shown, Description=described)
            case ua.EnumDefinition():
                fields = [replace(field, DisplayName=self.name(field.DisplayName)) for field in value.Fields]
                return replace(value, Fields=fields)
            case _:
                return value


class Locales:
    """The languages of a plant."""

    def __init__(self, plant: Plant, space: AddressSpace) -> None:
        self._plant = plant
        self._locales = {language: Locale(words, plant, space) for language, words in plant.translations.items()}

    @property
    def ids(self) -> list[str]:
        """LocaleIdArray: the plant file's language first."""
        return [LANGUAGE, *self._locales]

    @property
    def others(self) -> Sequence[Locale]:
        """All but the plant file's language."""
        return tuple(self._locales.values())

    def best(self, wanted: Sequence[str]) -> Locale | None:
        """Return what serves a session with these LocaleIds; None: the plant file's language."""
        found = self._plant.translation(wanted)
        return None if found is None else self._locales[found.language]


def _is_own(browse_name: ua.Variant | None) -> bool:
    """Whether a browse name is one of the plant's: names that OPC UA gives, as "Quality" of a condition, stay."""
    name: Any = None if browse_name is None else browse_name.Value
    return name is not None and name.NamespaceIndex == NAMESPACE


def _composed(words: Translation, plant: Plant) -> dict[str, str]:
    """Return the descriptions that are made of several texts, by what they are in the plant file's language."""

    def say(text: str) -> str:
        return words.text(text) or text

    arguments = (
        argument
        for machine_type in plant.types.values()
        for command in machine_type.commands.values()
        for argument in (*command.arguments, *command.outputs)
    )
    found = {argument_text(it): argument_text(it, say) for it in arguments if words.text(it.description)}
    found |= {enumeration_text(it): enumeration_text(it, say) for it in plant.enumerations.values()}
    return found

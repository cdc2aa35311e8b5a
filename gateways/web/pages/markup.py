"""HTML and SVG that is safe by construction: text is escaped unless it is markup already."""

from collections.abc import Iterable
from html import escape

Attribute = str | float | bool | None

_VOID = frozenset({"meta", "link", "input", "br", "img", "hr"})


class Markup(str):
    """Text that is markup: it is not escaped again."""

    __slots__ = ()


def el(tag: str, *children: "str | Iterable[str] | None", **attributes: Attribute) -> Markup:
    """Make an element; `class_` is class, `data_path` is data-path; None and False leave an attribute out."""
    written = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Markup(f"<{tag}{written}>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(children: "Iterable[str | Iterable[str] | None]") -> Markup:
    """Put markup and text behind each other; nested iterables are flattened."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(escape(child))
        else:
            parts.append(join(child))
    return Markup("".join(parts))


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    spelled = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {spelled}"
    if isinstance(value, float):
        value = f"{value:g}"
    return f' {spelled}="{escape(str(value))}"'

"""Icons of 24 by 24 units in strokes; decoration beside words, so hidden from screen readers."""

from gateways.web.pages.markup import Markup

_PATHS = {
    "menu": "M4 6h16M4 12h16M4 18h16",
    "leaf": "M12 21V10M12 14c-5 0-8-3-8-8 5 0 8 3 8 8zM12 17c4 0 7-2 8-7-5 0-8 2-8 7z",
    "theme": "M12 3a9 9 0 1 0 0 18zM12 3a9 9 0 0 1 0 18",
    "user": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4 21c0-5 3.5-7 8-7s8 2 8 7",
    "overview": "M3 12h18M7 12V6M17 12V6M5 3h4v3H5zM15 3h4v3h-4zM12 12v6M9 18h6v3H9z",
    "alarms": "M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21h4",
    "trends": "M4 4v16h16M7 15l4-5 3 3 5-7",
    "scene": "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
    "gallery": "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15 9h.01",
    "tree": "M5 4v14h5M5 11h5M10 9h9v4h-9zM10 16h9v4h-9zM3 3h4v3H3z",
    "audit": "M6 3h9l4 4v14H6zM14 3v5h5M9 12h7M9 16h7",
    "certificates": "M12 3l7 3v6c0 4-3 7-7 9-4-2-7-5-7-9V6zM9 12l2 2 4-4",
}


def icon(name: str) -> Markup:
    """Return an icon as SVG."""
    return Markup(f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d="{_PATHS[name]}"/></svg>')

"""Precision-recall curves as an SVG picture, drawn by hand: no library is needed to look at a model."""

from collections.abc import Mapping
from html import escape

from sources.vision.metrics import Curve

_SIZE, _LEFT, _TOP, _WIDTH = 420, 60, 40, 720
_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#ff8ab7", "#a463f2", "#97bbf5")
_POINTS = 400  # of a curve at most


def svg(title: str, curves: Mapping[str, Curve]) -> str:
    """Return a picture of the curves, with AP50 and the number of objects of each."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_SIZE + 100}">',
        "<style>text { font: 13px system-ui, sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-weight="600">{escape(title)}</text>',
    ]
    for step in range(6):
        share = step / 5
        x, y = _LEFT + share * _SIZE, _TOP + (1 - share) * _SIZE
        parts += [
            f'<path d="M{_LEFT} {y}h{_SIZE}M{x} {_TOP}v{_SIZE}" stroke="#ddd"/>',
            f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{share:.1f}</text>',
            f'<text x="{x}" y="{_TOP + _SIZE + 18}" text-anchor="middle">{share:.1f}</text>',
        ]
    parts += [
        f'<text x="{_LEFT + _SIZE / 2}" y="{_TOP + _SIZE + 40}" text-anchor="middle">recall</text>',
        f'<text transform="translate(18 {_TOP + _SIZE / 2}) rotate(-90)" text-anchor="middle">precision</text>',
    ]
    for place, (name, curve) in enumerate(curves.items()):
        colour = _COLOURS[place % len(_COLOURS)]
        every = max(1, len(curve.recall) // _POINTS)
        points = " ".join(
            f"{_LEFT + recall * _SIZE:.1f},{_TOP + (1 - precision) * _SIZE:.1f}"
            for recall, precision in zip(curve.recall[::every].tolist(), curve.precision[::every].tolist(), strict=True)
        )
        y = _TOP + 16 + place * 22
        x = _LEFT + _SIZE + 20
        parts += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<path d="M{x} {y - 4}h22" stroke="{colour}" stroke-width="3"/>',
            f'<text x="{x + 30}" y="{y}">{escape(name)}: AP50 {curve.ap:.3f} ({curve.objects})</text>',
        ]
    return "\n".join([*parts, "</svg>\n"])

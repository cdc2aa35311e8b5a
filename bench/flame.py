"""Samples of py-spy to a flame graph: a small SVG without script, wide is long, a frame stands on who called it."""

import colorsys
import html
import re
import zlib
from collections import Counter
from dataclasses import dataclass, field

_PYTHON = re.compile(r"^(\S+) \((.+\.py|<.+>):(\d+)\)$")
_NATIVE = re.compile(r"^([A-Za-z_][\w:~<>]*) \(")
_BELOW = re.compile(r"^(_run_module_as_main|_run_code|<module>|run|Runner\.run|main|Thread\.\w+|_bootstrap\w*) ")
"""Frames that every stack begins with."""
_PLUMBING = re.compile(r"^(_?Py|0x|loop_|Loop__|uv_|UVStream|__pyx)")
_WAITING = re.compile(r"PyThread_acquire_lock_timed|pthread_cond_timedwait")
_WIDTH, _HEIGHT, _CHARACTER = 1200, 17, 6.6


@dataclass
class Profile:
    """Stacks with their samples, outermost frame first; `waiting`: samples in which nothing was done."""

    stacks: Counter[tuple[str, ...]] = field(default_factory=Counter)
    waiting: int = 0

    @property
    def total(self) -> int:
        """Samples in which something was done."""
        return self.stacks.total()

    def functions(self) -> list[tuple[str, float, float]]:
        """Return the functions with their share of the time, itself and with what it calls, largest first."""
        own, whole = Counter[str](), Counter[str]()
        for stack, count in self.stacks.items():
            own[stack[-1]] += count
            for frame in set(stack):
                whole[frame] += count
        return [(name, count / self.total, whole[name] / self.total) for name, count in own.most_common()]


def parse(text: str) -> Profile:
    """Read py-spy's raw format, recorded with --native."""
    profile = Profile()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if _WAITING.search(stack) or frames[-1].startswith(("epoll_", "poll ", "select ")):
            profile.waiting += int(count)
        else:
            profile.stacks[_plain(frames)] += int(count)
    return profile


def _plain(frames: list[str]) -> tuple[str, ...]:
    """Keep what a reader of our code knows: Python functions, and the C function that was at work."""
    kept = [f for f in frames if _PYTHON.match(f) and not _BELOW.match(f)]
    named = [m[1] for f in frames if not _PYTHON.match(f) and (m := _NATIVE.match(f)) and not _PLUMBING.match(f)]
    leaf = [] if _PYTHON.match(frames[-1]) or not named else [f"[{named[-1]}]"]
    return ("event loop", *(frame.replace(".py", "") for frame in kept), *leaf)


def draw(profile: Profile, title: str) -> str:
    """Return the flame graph as SVG."""
    rects: list[str] = []
    depth = max((len(stack) for stack in profile.stacks), default=1)
    height = (depth + 2) * _HEIGHT + 10
    _frames(profile.stacks, profile.total, 0.0, 0, height, rects)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}">',
            "<style>text { font: 11px monospace }</style>",
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="8" y="14">{html.escape(title)}: {profile.total:,} samples</text>',
            *rects,
            "</svg>\n",
        ]
    )


def _frames(stacks: Counter[tuple[str, ...]], total: int, x: float, level: int, height: int, out: list[str]) -> None:
    children: dict[str, Counter[tuple[str, ...]]] = {}
    for stack, count in stacks.items():
        if stack:
            children.setdefault(stack[0], Counter())[stack[1:]] += count
    for name, below in sorted(children.items()):
        count = below.total()
        width = _WIDTH * count / total
        if width >= 0.8:
            y = height - (level + 1) * _HEIGHT - 4
            tint = zlib.crc32(name.encode())
            hue = 205 if name.startswith("[") else 18 + tint % 30
            red, green, blue = colorsys.hls_to_rgb(hue / 360, (68 + tint // 30 % 14) / 100, 0.8)
            colour = f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"
            label = name if len(name) * _CHARACTER < width - 4 else name[: max(0, int((width - 4) / _CHARACTER) - 1)]
            text = html.escape(name)
            out.append(
                f'<g><title>{text}: {100 * count / total:.1f} %</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
                f'height="{_HEIGHT - 1}" fill="{colour}" rx="1"/>'
                + (f'<text x="{x + 2:.1f}" y="{y + 12}">{html.escape(label)}</text>' if len(label) > 2 else "")
                + "</g>"
            )
            _frames(below, total, x, level + 1, height, out)
        x += width

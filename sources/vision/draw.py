"""Pictures as evidence: boxes, names and zones drawn, JPEG."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import cv2
import numpy as np

from server.evidence import Detection
from sources.vision.boxes import Image

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_RED, _GREY, _YELLOW, _WHITE, _BLACK = (40, 40, 230), (190, 190, 190), (0, 215, 255), (255, 255, 255), (0, 0, 0)
Polygon = Sequence[tuple[float, float]]


def annotated(
    picture: Image, detections: Iterable[Detection], decisive: Detection, zones: Iterable[Polygon], title: str
) -> Image:
    """Return a copy with all boxes (shares of the picture), the decisive one in red, zones, and a line on top."""
    result = picture.copy()
    height, width = picture.shape[:2]
    thick = max(1, round(width / 480))
    for zone in zones:
        corners = np.array([[x * width, y * height] for x, y in zone], np.int32)
        cv2.polylines(result, [corners], isClosed=True, color=_YELLOW, thickness=thick)
    others = [detection for detection in detections if detection != decisive]
    for detection, colour in [*((other, _GREY) for other in others), (decisive, _RED)]:
        x0, y0, x1, y1 = detection.box
        low, high = (round(x0 * width), round(y0 * height)), (round(x1 * width), round(y1 * height))
        cv2.rectangle(result, low, high, colour, thick * (2 if colour == _RED else 1))
        _label(result, f"{detection.name} {detection.confidence:.0%}", (low[0], max(low[1], 12)), colour)
    _label(result, title, (0, height), _BLACK)
    return result


def title_of(camera: str, rule: str, moment: datetime) -> str:
    """Return the line that goes onto an evidence picture."""
    text = f"{camera}  {rule}  {moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"
    return text.encode("ascii", "replace").decode()  # OpenCV's font has no more


def jpeg(picture: Image, quality: int) -> bytes:
    """Encode a picture."""
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise OSError("the picture could not be encoded as JPEG")
    return data.tobytes()


def _label(picture: Image, text: str, corner: tuple[int, int], colour: tuple[int, int, int]) -> None:
    scale = max(0.4, picture.shape[1] / 1600)
    (width, height), below = cv2.getTextSize(text.encode("ascii", "replace").decode(), _FONT, scale, 1)
    x, y = corner
    cv2.rectangle(picture, (x, y - height - below - 2), (x + width + 4, y), colour, cv2.FILLED)
    ink = _WHITE if colour in {_RED, _BLACK} else _BLACK
    cv2.putText(picture, text, (x + 2, y - below), _FONT, scale, ink, 1, cv2.LINE_AA)

"""A plant of two cameras, one rule of each not for everybody, and what is seen before an alarm of them is raised."""

from server.evidence import Detection, Evidence
from server.store import now_ticks
from sources.vision.evidence import evidence_id

PLANT = """\
plant: {name: Plant, type: PlantType}
types:
  PlantType: {description: The plant}
  CameraType:
    description: A camera
    variables:
      Fire: {type: Boolean, description: Fire is seen}
      Intruder: {type: Boolean, read_role: Engineer, description: Somebody is seen}
    alarms:
      FireAlarm: {kind: vision, input: Fire, severity: 950, message: A camera sees fire}
      IntruderAlarm: {kind: vision, input: Intruder, severity: 600, message: A camera sees somebody}
objects:
  Camera1: {type: CameraType}
  Camera2: {type: CameraType}
"""
SEEN = Detection("fire", 0.875, (0.125, 0.25, 0.5, 0.75), "fire")


def seen(rule: str = "Fire", camera: str = "Plant.Camera1") -> Evidence:
    """Return what a camera sees now, before its pictures are stored."""
    taken = now_ticks()
    id_ = evidence_id(camera, rule, taken)
    return Evidence(id_, camera, rule, SEEN, taken, "fire v1", "ab" * 32, 41.5, "", "", "", "")

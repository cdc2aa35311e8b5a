"""What each detector is trained on: which folders, what their labels mean, and what they leave unlabelled."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Part:
    """A folder of pictures in YOLO format, or of pictures that show none of the classes.

    `classes` gives a label's number the model's name for it, other labels are dropped. `complete` are the classes
    that are labelled wherever they are seen: only of these does an empty place say "not here". `hidden` are classes
    that may be in the boxes of another class without a label. `scene` is a regular expression whose groups, found in
    a file's name, name the scene; where it does not fit, each picture is its own. Of two groups the second is a
    picture's number, and another scene begins after a gap of more than `gap` numbers. `skip` leaves files out.
    """

    folder: str
    licence: str
    source: str
    classes: Mapping[int, str] = field(default_factory=dict[int, str])
    complete: frozenset[str] = frozenset()
    hidden: Mapping[str, str] = field(default_factory=dict[str, str])
    scene: str = ""
    gap: int = 0
    skip: str = ""
    mirrored: bool = False
    """Whether pictures may have borders that mirror their inside; these are cut off."""
    flaws: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A claim about whole pictures: that one of `classes` is in it, `recall` of them found at `fpr` at most."""

    name: str
    classes: tuple[str, ...]
    recall: float
    fpr: float
    by_scene: bool = False
    """Whether recall is the share of scenes that are raised, not of pictures."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A detector: its classes in order, its data, its aims (AP50 by class, alarms), and what it is known to lack."""

    name: str
    title: str
    classes: tuple[str, ...]
    parts: tuple[Part, ...]
    aims: Mapping[str, float]
    alarms: tuple[Alarm, ...]
    limits: tuple[str, ...]
    grey: float = 0.05
    """Share of training pictures without colour."""
    judged: tuple[str, ...] = ()
    """The classes whose AP50 on the validation pictures decides which state of the training is kept."""
    held: Mapping[str, str] = field(default_factory=dict[str, str])
    """Scenes with their side, where chance could not deal: of a kind of which there are a few only."""
    hue: float = 0.02
    """Most that the hue is turned by, in shares of the circle."""
    empty: float = 0.25
    """Share of the training pictures without an object, at most."""
    lit: float = 0.0
    """Share of the pictures without fire that get flames of other pictures."""


def _empty(folder: str, licence: str, source: str, classes: tuple[str, ...], skip: str = "") -> Part:
    """Return a part that shows none of the classes."""
    scene = r"^(.+?)__" if folder == "neg_intel_ccby4" else ""
    return Part(folder, licence, source, complete=frozenset(classes), scene=scene, skip=skip)


_HARDHAT = ("hardhat_cc0", "CC0", "Kaggle andrewmvd/hard-hat-detection")
_COCO = ("coco_person_ccby", "CC BY 2.0, CC BY-SA 2.0 or none known, per picture", "COCO")
_INTEL = ("neg_intel_ccby4", "CC BY 4.0", "Intel sample-videos")
_LOMIRI = ("neg_lomiri", "CC BY 4.0", "Debian lomiri-wallpapers")

_WORN = ("helmet", "head", "person")
HELMET = Recipe(
    name="helmet",
    title="Helmet, bare head, person",
    classes=_WORN,
    parts=(
        Part(
            *_HARDHAT, classes={0: "helmet", 1: "person", 2: "head"}, complete=frozenset({"helmet", "head"}),
            mirrored=True, flaws="Mirrored borders show unlabelled heads: they are cut off. Persons are labelled in "
            "few pictures, so places without a person label teach nothing about persons.",
        ),
        Part(
            *_COCO, classes={0: "person"}, complete=frozenset(_WORN), hidden={"helmet": "person", "head": "person"},
            flaws="Heads are not labelled: the boxes of persons teach nothing about heads and helmets.",
        ),
        _empty(*_INTEL, _WORN, skip="^(classroom|face-demographics)"),
        _empty(*_LOMIRI, _WORN),
    ),
    aims={"helmet": 0.85, "head": 0.75},
    judged=("helmet", "head"),
    alarms=(Alarm("someone without a helmet", ("head",), recall=0.85, fpr=0.05),),
    limits=(
        ("Learnt from 560 press pictures of building sites and power lines, mostly by day. Judge other places with "
         "`python -m sources.vision evaluate` on pictures of your own."),
        "Caps, hoods, hair nets and welding masks are hardly in the data; whether they count as a bare head is chance.",
        "`person` has some 170 labelled boxes: it is no person detector for zones.",
    ),
)  # fmt: skip

_BURNING = ("fire", "smoke")
FIRE = Recipe(
    name="fire",
    title="Fire, smoke",
    classes=_BURNING,
    parts=(
        Part(
            "fire_aj_ccby4", "CC BY 4.0", "Roboflow aj-garcia/fire-dataset-for-yolov8 v10", classes={0: "fire"},
            complete=frozenset({"fire"}), scene=r"^(?!web_train)(.+?)__",
            flaws="Pictures are stretched to 416×416; smoke is visible without a label, so these teach nothing about "
            "smoke; glow and small flames are partly unlabelled; captions are burnt in.",
        ),
        Part(
            "fire8_ccby4", "CC BY 4.0", "Roboflow custom-thxhn/fire-wrpgm v8", classes={0: "fire", 2: "smoke"},
            complete=frozenset(_BURNING), scene=r"^(?:(img)_(\d+)|([a-z0-9]+_mp4))", gap=12,
            flaws="About 17 scenes; loose boxes; some smoke beside fire is unlabelled.",
        ),
        _empty(*_HARDHAT, _BURNING),
        _empty(*_COCO, _BURNING, skip="^000000060623"),
        _empty(*_INTEL, _BURNING),
        _empty(*_LOMIRI, _BURNING),
    ),
    aims={},
    judged=("fire", "smoke"),
    held={
        "fire8_ccby4/img_601": "test", "fire8_ccby4/test3_mp4": "test", "fire8_ccby4/img_800": "validation",
    },
    alarms=(
        Alarm("fire", ("fire",), recall=0.9, fpr=0.05, by_scene=True),
        Alarm("smoke", ("smoke",), recall=0.9, fpr=0.05, by_scene=True),
    ),
    limits=(
        ("Some 45 scenes: houses, shops, streets and fire tests, few factories. Frames of a scene look alike, so the "
         "figures rest on the number of scenes, not of pictures."),
        "Pictures without fire that look like it (welding, headlights, sunsets, steam, orange vests) are few.",
        ("Smoke was learnt from one set of about 17 scenes with loose boxes, most of which share pictures that look "
         "alike: one scene is left for validation and two for the test. That carries no claim."),
        "No replacement for a fire detection system (EN 54): an additional eye, nothing more.",
    ),
    grey=0.12,
    hue=0.015,
    empty=0.45,
    lit=0.4,
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = {recipe.name: recipe for recipe in (HELMET, FIRE)}

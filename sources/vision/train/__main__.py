"""`python -m sources.vision.train`: from labelled pictures to a detector in ONNX and its model card."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sources.vision.datasets import DataError
from sources.vision.train.recipes import RECIPES

_EPILOG = """\
The pictures are split by scene into training, validation and test; near-duplicates are removed. Thresholds and the
best state of the training are chosen on the validation pictures; the test pictures are looked at once, at the end.
A training that was stopped (Ctrl-C) goes on with --resume; --report makes file and card of the best state so far.

examples:
  python -m sources.vision.train helmet --data ../shared/data/vision/train --out sources/vision/models
  python -m sources.vision.train fire --data ../shared/data/vision/train --out sources/vision/models --minutes 30
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 1 after one sentence that says what is wrong."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    args = _parser().parse_args(given)
    errors = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        from sources.vision.train.run import run  # noqa: PLC0415  it needs PyTorch, --help does not
    except ImportError as error:
        errors.print(f"[red]error:[/] training needs {escape(str(error.name))}: see {escape('sources/vision/train')}")
        return 1
    try:
        with _progress() as bar:
            run(RECIPES[args.model], args, _repeatable(given), bar)
    except (DataError, OSError, ValueError) as error:
        errors.print(f"[red]error:[/] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        errors.print("stopped: --resume goes on from the last checkpoint")
        return 1
    return 0


def _repeatable(given: Sequence[str]) -> str:
    """Return the command for the card, which has the note elsewhere."""
    note = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    note.add_argument("--note")
    _, kept = note.parse_known_args(given)
    return shlex.join(["python", "-m", "sources.vision.train", *kept])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sources.vision.train", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add("model", choices=list(RECIPES), help="what to train")
    add("--data", type=Path, required=True, metavar="FOLDER", help="the folder that holds the sets of pictures")
    add("--out", type=Path, required=True, metavar="FOLDER", help="where model, card and its pictures go")
    add("--work", type=Path, metavar="FOLDER", help="checkpoints and log (default data/training/MODEL)")
    add("--resume", action="store_true", help="go on from the last checkpoint")
    add("--report", action="store_true", help="train no further: file and card of the best state so far")
    add("--split", type=Path, metavar="FOLDER", help="write the test pictures as a YOLO folder, for `evaluate`")
    add("--seed", type=int, default=1, help="of split, augmentation and weights (default 1)")
    add("--head", type=int, default=3000, help="steps of the head on a fixed backbone (default 3000)")
    add("--bank", type=int, default=4000, help="pictures prepared for these (default 4000)")
    add("--steps", type=int, default=6000, help="steps of the later backbone with it (default 6000)")
    add("--frozen", type=int, default=4, help="stages of the backbone that never change, of 6 (default 4)")
    add("--batch", type=int, default=8, help="pictures a step (default 8)")
    add("--side", type=int, default=320, help="side of the input in pixels, a multiple of 32 (default 320)")
    add("--input", type=int, default=0, help="side of the exported model's input, if it is another")
    add("--every", type=int, default=250, help="steps between looks at the validation pictures (default 250)")
    add("--minutes", type=float, default=0.0, help="end sooner; what comes out then depends on the machine")
    add("--note", default="", metavar="TEXT", help="what the card is to say of the training besides")
    add("--threads", type=int, default=2, help="threads that it computes on (default 2)")
    return parser


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=Console(stderr=True, highlight=False), transient=True,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())

"""`python -m sources.vision`: judge a model on labelled data, and make it smaller."""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from sources.vision.datasets import DataError, open_data, read_names
from sources.vision.evaluate import Options, Report, delay_of, evaluate
from sources.vision.heads import ModelError
from sources.vision.model import PROVIDERS, Detector
from sources.vision.plot import svg
from sources.vision.quantize import QuantizeError, quantize
from sources.vision.settings import ModelSettings

_DESCRIPTION = """\
Says how good a detector is on labelled data. DATA is one of

  a folder of pictures in YOLO format: images/ and labels/ (or pictures and .txt side by side), class names in
      classes.txt or data.yaml; a label is `class x y width height`, shares of the picture. Gives AP50 of each class,
      and how well pictures with and without it are told apart.
  a video, or a folder of videos with events.csv (columns video,class,start,end; seconds): what each video shows, and
      when. A video that it does not name shows nothing. Gives how many events an alarm would have been raised for,
      how fast, and the false alarms an hour.
"""

_EPILOG = """\
how to read it:
  AP50       area under the precision-recall curve; a box is right when it overlaps an object by half (IoU 0.5)
  recall     of pictures with the class, those in which it was seen at --threshold
  FPR        of pictures without it, those in which it was seen all the same
  at FPR 5%  the recall that the best threshold reaches here; a threshold must be chosen on other data than it is
             judged on, so this is what is possible, not what you get
  Frames of one scene look alike: ten scenes of a hundred frames are closer to ten pictures than to a thousand. --scene
  gives the figures of each.

examples:
  python -m sources.vision evaluate --model person.onnx --head yolox --names coco.txt --data my_site/
  python -m sources.vision evaluate --model fire.onnx --data clips/ --threshold 0.4 --frames 3 --of 5 --within 2
  python -m sources.vision evaluate --model fire.onnx --data frames/ --scene '^(.+?)__' --out report/
  python -m sources.vision quantize --model fire.onnx --data frames/ --out fire_int8.onnx
"""

console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
_errors = Console(stderr=True, highlight=False, soft_wrap=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 1 after one sentence that says what is wrong."""
    args = _parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except (ModelError, DataError, QuantizeError, OSError) as error:
        _errors.print(f"[red]error:[/] {escape(str(error))}")
    except ValidationError as error:
        for fault in error.errors():
            where = ".".join(str(part) for part in fault["loc"])
            _errors.print(f"[red]error:[/] {escape(where)}: {escape(str(fault['msg']))}")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sources.vision", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    judge = commands.add_parser(
        "evaluate", help="how good a model is on labelled data", description=_DESCRIPTION, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    _model_arguments(judge)
    add = judge.add_argument
    add("--threshold", type=float, default=0.3, help="confidence at which pictures and events count (default 0.3)")
    add("--rename", action="append", default=[], metavar="DATA=MODEL", help="a class has another name in the data")
    add(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the data's classes, one a line, where the data has none itself",
    )
    add("--scene", metavar="REGEX", help="figures by scene too: the first group, searched in the file's name")
    add("--fps", type=float, default=10.0, help="pictures a second of videos to look at (default 10, 0: all)")
    add("--frames", type=int, default=3, help="an alarm is raised after this many pictures (default 3) ...")
    add("--of", type=int, default=5, help="... of the last so many (default 5)")
    add("--clear-after", type=float, default=3.0, metavar="S", help="and over after so long without (default 3)")
    add("--within", type=float, default=2.0, metavar="S", help="an event is raised in time within this (default 2)")
    add("--limit", type=int, help="pictures or videos at most")
    add("--out", type=Path, metavar="FOLDER", help="write report.json and the curves as pr.svg")
    judge.set_defaults(run=_evaluate)
    smaller = commands.add_parser(
        "quantize", help="make an INT8 model of a detector", epilog=_EPILOG,
        description="Writes an INT8 copy of a model, its ranges measured on pictures like those it will see (100 or "
        "more). Judge both with `evaluate`: some accuracy is lost, and not every processor gets faster.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    _model_arguments(smaller)
    smaller.add_argument("--out", type=Path, required=True, metavar="FILE", help="the model to write")
    smaller.add_argument("--limit", type=int, default=200, help="pictures to measure on (default 200)")
    smaller.set_defaults(run=_quantize)
    return parser


def _model_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="FILE", help="the detector, ONNX")
    add("--data", type=Path, required=True, metavar="DATA", help="a folder of pictures or videos, or a video")
    add("--head", choices=["yolox", "yolov8"], help="layout of its output, if its metadata does not say")
    add("--names", type=Path, metavar="FILE", help="its classes, one a line, if its metadata does not say")
    add("--size", metavar="WxH", help="its input, if that is not fixed")
    add("--provider", choices=list(PROVIDERS), default="cpu", help="where it runs (default cpu)")
    add("--threads", type=int, default=2, help="threads that it runs on (default 2)")


def _detector(args: argparse.Namespace) -> Detector:
    given = {
        "file": args.model.absolute(), "head": args.head, "threads": args.threads, "providers": [args.provider],
        "threshold": 0.01, "size": args.size.lower().split("x") if args.size else None,
    }  # fmt: skip
    if args.names:
        given["classes"] = read_names(args.names)
    return Detector(args.model.name, ModelSettings.model_validate(given), Path())


def _evaluate(args: argparse.Namespace) -> int:
    renamed = dict(pair.partition("=")[::2] for pair in args.rename)
    options = Options(
        args.threshold, renamed, args.scene, args.fps or None, args.frames, args.of, args.clear_after, args.within,
        args.limit,
    )  # fmt: skip
    labels = read_names(args.labels) if args.labels else None
    data, detector = open_data(args.data, labels), _detector(args)
    with _progress() as bar:
        report = evaluate(detector, data, args.data, options, bar)
    _show(report, options)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(report.as_dict(), indent=1, default=str).replace("NaN", "null")
        (args.out / "report.json").write_text(text, encoding="utf-8")
        if report.curves:
            title = f"{args.model.name} on {args.data.name}"
            shown = {name: curve for name, curve in report.curves.items() if curve.objects}
            (args.out / "pr.svg").write_text(svg(title, shown), encoding="utf-8")
        console.print(f"written: {args.out}", soft_wrap=True)
    return 0


def _quantize(args: argparse.Namespace) -> int:
    with _progress() as bar:
        quantize(_detector(args), args.data, args.out, args.limit, bar)
    before, after = args.model.stat().st_size, args.out.stat().st_size
    console.print(f"written: {args.out}, {after / 1e6:.2f} MB instead of {before / 1e6:.2f} MB", soft_wrap=True)
    return 0


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=Console(stderr=True), transient=True,
    )  # fmt: skip


def _show(report: Report, options: Options) -> None:
    head = f"{report.model}  sha256 {report.sha256[:16]}…  {report.items} items of {report.data}"
    console.print(escape(head), soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {escape(note)}", soft_wrap=True)
    seen = f"at {options.threshold:g}"
    if report.curves:
        rows = [
            [name, str(curve.objects), _n(curve.ap), *_picture_cells(report.pictures[name])]
            for name, curve in report.curves.items()
            if curve.objects or report.pictures[name].false_positive_rate > 0
        ]
        _table("Classes", ["class", "objects", "AP50", *_heads(seen)], rows)
    for name, scenes in report.scenes.items():
        _table(f"{name} by scene", ["scene", *_heads(seen)], [[k, *_picture_cells(v)] for k, v in scenes.items()])
    if report.events:
        heads = ["class", "events", "raised", f"within {options.within:g} s", "median delay, s", "false alarms",
                 "quiet hours", "an hour"]  # fmt: skip
        rows = [
            [name, str(one.events), str(one.raised), str(one.within), _n(delay_of(one)), str(one.false_alarms),
             _n(one.quiet_hours), _n(one.per_hour)]
            for name, one in report.events.items() if one.events or one.false_alarms or len(report.events) <= 5
        ]  # fmt: skip
        _table(f"Events, {options.frames} of {options.of} pictures {seen}", heads, rows)


def _heads(seen: str) -> list[str]:
    return ["with", "without", f"recall {seen}", "FPR", "precision", "recall at FPR 5%"]


def _picture_cells(one: "object") -> list[str]:
    fields = ("positives", "negatives", "recall", "false_positive_rate", "precision", "recall_at")
    return [_n(getattr(one, name)) for name in fields]


def _n(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{value:.3f}"


def _table(title: str, heads: list[str], rows: list[list[str]]) -> None:
    table = Table(title=title, title_justify="left")
    for place, head in enumerate(heads):
        table.add_column(head, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())

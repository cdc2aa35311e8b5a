"""`export mqtt FILE`: every topic of the plant as Markdown."""

import argparse
import sys
from pathlib import Path
from typing import Any

from address_space import Plant, load_plant
from gateways.mqtt.settings import MqttSettings


def register_export(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:  # pyright: ignore[reportPrivateUsage]
    """Add `mqtt` to the subcommands of `export`; its handler takes (arguments, settings), returns the exit code."""
    mqtt = subparsers.add_parser("mqtt", help="every MQTT topic with what it carries, as Markdown")
    mqtt.add_argument("file", type=Path, metavar="FILE", help="file to write, - for standard output")
    mqtt.set_defaults(handler=_export)


def generate(plant: Plant | None = None, settings: MqttSettings | None = None) -> str:
    """Return the topic list; of the default plant with default settings unless told otherwise."""
    from gateways.mqtt.topics import topic_list  # noqa: PLC0415  half a second that no other subcommand should pay

    return topic_list(plant or load_plant(), settings or MqttSettings())


def _export(args: argparse.Namespace, settings: Any) -> int:
    text = generate(load_plant(settings.plant), settings.mqtt)
    if str(args.file) == "-":
        sys.stdout.write(text)
        return 0
    try:
        args.file.write_text(text, encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"error: {args.file} cannot be written: {error.strerror}\n")
        return 2
    sys.stdout.write(f"{text.count(chr(10))} lines written to {args.file}\n")
    return 0

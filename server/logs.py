"""Structured logs: structlog over the standard library's logging, which asyncua, pymodbus and aiohttp log through."""

import logging
import os
import sys
from collections.abc import MutableMapping
from datetime import datetime
from typing import Any, Literal, TextIO, cast

import structlog
from structlog.typing import Processor

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]

# What every line gets, ours and other libraries'.
_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]

structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *_SHARED,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
    cache_logger_on_first_use=True,
)

_OURS = ("address_space", "server", "sources")

# Libraries whose INFO tells each request: an operator who does not debug wants their warnings only.
_CHATTY = ("asyncua", "pymodbus", "aiohttp.access", "asyncio")

# Lines of WARNING and ERROR, by logger, that only say that a client asked for something wrong, and was answered so.
_CLIENT_MISTAKES = {
    "asyncua.server.uaprocessor": (
        "sending service fault response",
        "Received an error message type",
        "Received a request of type",
    ),
    "asyncua.server.binary_server_asyncio": ("Got malformed header",),
}


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module: `log = logs.get(__name__)`, then `log.info("what happened", key=value)`."""
    return structlog.stdlib.get_logger(name)


def configure(level: LogLevel = "info", format: LogFormat = "auto", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send every log line of `level` and above to `stream` (standard error); a second call replaces the first.

    `format` is `console` (to read, coloured in a terminal), `json` (one object a line) or `auto` (is it a terminal?).
    """
    target = stream or cast("TextIO", sys.stderr)
    terminal = target.isatty()
    renderers: list[Processor]
    if format == "console" or (format == "auto" and terminal):
        colours = terminal and not os.environ.get("NO_COLOR")
        renderers = [
            _for_people,
            structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        renderers = [
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    handler.addFilter(_demote_client_mistakes)
    handler.setLevel(level.upper())
    root = logging.getLogger()
    for old in [old for old in root.handlers if getattr(old, "plantree", False)]:
        root.removeHandler(old)
    cast("Any", handler).plantree = (level, format)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.DEBUG if level == "debug" else logging.WARNING)
    logging.captureWarnings(capture=True)


def configured() -> tuple[LogLevel, LogFormat]:
    """Return what `configure` was last told, for processes of ours that log beside this one."""
    told = [getattr(handler, "plantree", None) for handler in logging.getLogger().handlers]
    return next((pair for pair in told if pair), ("info", "auto"))


def _for_people(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Leave out what a person at a terminal does not need: the date, and our own modules' names."""
    event["timestamp"] = datetime.now().astimezone().strftime("%H:%M:%S")
    if str(event.get("logger", "")).partition(".")[0] in _OURS:
        del event["logger"]
    return event


def _demote_client_mistakes(record: logging.LogRecord) -> bool:
    """Turn a client's mistake, which asyncua logs as the server's error, into DEBUG; drop it if that is not wanted."""
    if not record.name.startswith("asyncua.") or record.levelno <= logging.DEBUG or not _is_client_mistake(record):
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _is_client_mistake(record: logging.LogRecord) -> bool:
    if str(record.msg).startswith(_CLIENT_MISTAKES.get(record.name, ())):
        return True
    # A traceback of a message that could not be parsed or served: asyncua's own exceptions are answers to the client.
    kind = record.exc_info[0] if record.exc_info else None
    return record.name in _CLIENT_MISTAKES and kind is not None and kind.__module__.startswith("asyncua.")

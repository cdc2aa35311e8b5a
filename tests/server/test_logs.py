import io
import json
import logging
import warnings
from pathlib import Path

import pytest
from asyncua import ua

from server import logs


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def restored():
    """Give the process's logging back as it was."""
    names = ("", "asyncua", "pymodbus", "aiohttp.access", "asyncio")
    levels = {name: logging.getLogger(name).level for name in names}
    yield
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if getattr(handler, "plantree", False)]:
        root.removeHandler(handler)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=False)


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_lines_hold_level_logger_time_and_values():
    stream = io.StringIO()
    logs.configure("info", "auto", stream)
    logs.get("server.x").info("ready", endpoint="opc.tcp://é:4840", path=logs)
    (line,) = lines(stream)
    assert (line["message"], line["level"], line["logger"]) == ("ready", "info", "server.x")
    assert line["endpoint"] == "opc.tcp://é:4840"
    assert line["timestamp"].endswith("Z")


def test_other_libraries_lines_look_the_same():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger("pymodbus.client").warning("lost %s after %d s", "plc", 3, extra={"peer": "line1"})
    (line,) = lines(stream)
    assert line["message"] == "lost plc after 3 s"
    assert (line["level"], line["logger"], line["peer"]) == ("warning", "pymodbus.client", "line1")


def test_a_terminal_gets_colours_unless_it_does_not_want_them(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain, forced = Terminal(), Terminal(), io.StringIO()
    logs.configure("info", "auto", coloured)
    logs.get("x").info("ready", port=1)
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure("info", "auto", plain)
    logs.get("x").info("ready", port=1)
    logs.configure("info", "console", forced)
    logs.get("x").info("ready", port=1)
    assert "\x1b[" in coloured.getvalue()
    for stream in (plain, forced):
        assert "ready" in stream.getvalue()
        assert "port=1" in stream.getvalue()
        assert "\x1b[" not in stream.getvalue()


def test_the_level_holds_and_a_second_call_replaces_the_first():
    first, second = io.StringIO(), io.StringIO()
    logs.configure("info", "json", first)
    logs.configure("warning", "json", second)
    log = logs.get("x")
    log.info("quiet")
    log.warning("loud")
    assert first.getvalue() == ""
    assert [line["message"] for line in lines(second)] == ["loud"]
    logs.configure("debug", "json", second)
    log.debug("now")
    assert lines(second)[-1]["message"] == "now"


def test_an_exception_keeps_its_traceback():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        Path("nowhere").read_text(encoding="utf-8")
    except OSError:
        logs.get("x").exception("failed")
    (line,) = lines(stream)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("No such file or directory: 'nowhere'")


@pytest.mark.parametrize("name", ["asyncua.server.uaprocessor", "pymodbus.logging", "aiohttp.access"])
def test_the_chatter_of_libraries_is_for_debugging(name):
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logging.getLogger(name).info("chatter")
    assert stream.getvalue() == ""
    logging.getLogger(name).warning("trouble")
    logs.configure("debug", "json", stream)
    logging.getLogger(name).info("chatter")
    assert [line["message"] for line in lines(stream)] == ["trouble", "chatter"]


def log_client_mistakes():
    processor = logging.getLogger("asyncua.server.uaprocessor")
    processor.error("sending service fault response: %s (%s)", "doc", "BadNodeIdUnknown")
    try:
        raise ua.UaStatusCodeError(ua.StatusCodes.BadSecurityChecksFailed)
    except ua.UaError:
        logging.getLogger("asyncua.server.binary_server_asyncio").exception("Exception raised while processing")


def test_a_clients_mistake_is_no_error_of_the_server():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    log_client_mistakes()
    assert stream.getvalue() == ""
    logs.configure("debug", "json", stream)
    log_client_mistakes()
    assert [line["level"] for line in lines(stream)] == ["debug", "debug"]


def test_the_servers_own_faults_in_asyncua_stay_errors():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        {}["bug"]
    except KeyError:
        logging.getLogger("asyncua.server.uaprocessor").exception("Error while processing message")
    logging.getLogger("asyncua.server.uaprocessor").warning("%s attempted to do something", "operator")
    assert [line["level"] for line in lines(stream)] == ["error", "warning"]


def test_warnings_are_logged():
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
    (line,) = lines(stream)
    assert line["logger"] == "py.warnings"
    assert "deprecated" in line["message"]

"""What the system tests have measured, as lines at the end of the run."""

from collections.abc import Callable, Iterator

import pytest

_LINES = pytest.StashKey[list[str]]()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return a function that notes a line for the end of the run; it is in the JUnit report, too."""
    lines = request.config.stash.setdefault(_LINES, [])

    def note(line: str) -> None:
        lines.append(line)
        request.node.user_properties.append(("measured", line))

    return note


@pytest.hookimpl(wrapper=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
    """Show the lines."""
    yield
    if lines := terminalreporter.config.stash.get(_LINES, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)

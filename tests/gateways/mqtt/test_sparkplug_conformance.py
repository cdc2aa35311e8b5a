"""The table of testable statements in docs/mqtt/sparkplug.md is whole, and names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "mqtt" / "sparkplug.md"
STATEMENTS = frozenset((HERE / "sparkplug_statements.txt").read_text().split())
"""The ids of every testable statement of the Sparkplug specification 3.0.0."""

_ROW = re.compile(r"^\| `(tck-id-[\w-]+)` \| (.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(\w+)::(test_\w+)`")


def _rows() -> dict[str, str]:
    return dict(_ROW.findall(PAGE.read_text()))


def _tests(module: str) -> set[str]:
    tree = ast.parse((HERE / f"test_sparkplug_{module}.py").read_text())
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in tree.body if isinstance(node, functions) and node.name.startswith("test_")}


def test_every_statement_is_on_the_page_once() -> None:
    mentioned = re.findall(r"`(tck-id-[\w-]+)`", PAGE.read_text())
    assert len(mentioned) == len(set(mentioned))
    assert set(mentioned) == STATEMENTS
    assert len(STATEMENTS) == 299


def test_every_row_names_tests_or_says_why_not() -> None:
    for statement, covered in _rows().items():
        assert _TEST.search(covered) or re.fullmatch(r"not covered: .+", covered), statement


@pytest.mark.parametrize("module", ["births", "data", "commands", "broker", "wire"])
def test_the_tests_that_are_named_exist(module: str) -> None:
    named = {test for covered in _rows().values() for name, test in _TEST.findall(covered) if name == module}
    assert named
    assert named <= _tests(module)


def test_no_test_is_named_of_a_module_that_is_not_looked_at() -> None:
    modules = {name for covered in _rows().values() for name, _ in _TEST.findall(covered)}
    assert modules <= {"births", "data", "commands", "broker", "wire"}

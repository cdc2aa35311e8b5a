"""Where clauses against single events: every operator, conversions, NULL, and what is refused."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from asyncua import Server, ua

from server.opcua.events.convert import cast, common
from server.opcua.events.filters import EventFilters, InvalidFilterError
from server.opcua.events.like import like
from server.opcua.events.ports import PlainEvent
from server.opcua.events.types import EventTypes
from tests.server.opcua_events.events_rig import OP, element, event_filter, field, literal, where

_IDS, _T, CODES = ua.ObjectIds, ua.VariantType, ua.StatusCodes
ALARM = ua.NodeId(_IDS.ExclusiveLevelAlarmType)
SOURCE = ua.NodeId("Plant.Press1", 2)
Test = Callable[..., bool]


@pytest.fixture(scope="session")
def types() -> EventTypes:
    """Return the standard's event types, without a server that runs."""

    async def made() -> EventTypes:
        server = Server()
        await server.init()
        return EventTypes(server.iserver.aspace)

    return asyncio.run(made())


FIELDS: dict[tuple[str, ...], ua.Variant] = {
    ("ActiveState", "Id"): ua.Variant(True, _T.Boolean),
    ("ConditionName",): ua.Variant("Overspeed", _T.String),
    ("Quality",): ua.Variant(ua.StatusCode(CODES.BadNoCommunication), _T.StatusCode),
    ("HighLimit",): ua.Variant(80.5, _T.Double),
    ("BranchId",): ua.Variant(ua.NodeId(), _T.NodeId),
    ("SetpointNode",): ua.Variant(ua.NodeId("Plant.Press1.Speed", 2), _T.NodeId),
    ("SuppressedOrShelved",): ua.Variant(False, _T.Boolean),
    ("LastSeverity",): ua.Variant(0b1010, _T.UInt16),
}


@pytest.fixture
def event() -> PlainEvent:
    when = datetime(2026, 3, 1, 12)
    return PlainEvent(ALARM, SOURCE, "Press1", "Press 1 is too hot", 700, FIELDS, when, b"\x01" * 16)


@pytest.fixture
def passes(types: EventTypes, event: PlainEvent) -> Test:
    filters = EventFilters(types)
    return lambda *elements: filters.make(event_filter(["Message"], where(*elements))).passes(event)


SEVERITY, MESSAGE, NAME = field("Severity"), field("Message"), field("ConditionName")
MISSING, SOURCE_TEXT = field("LowLimit"), field("SourceName")
TRUE, FALSE, NULL = (OP.Equals, SEVERITY, literal(700)), (OP.Equals, SEVERITY, literal(1)), (OP.Not, MISSING)
KIND = literal(ua.NodeId(_IDS.LimitAlarmType))


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (TRUE, True),
        ((OP.Equals, SEVERITY, literal(700.0)), True),
        ((OP.Equals, SEVERITY, literal("700")), True),  # a String is converted to the number
        ((OP.Equals, SEVERITY, literal("seven hundred")), False),
        ((OP.Equals, MESSAGE, literal("Press 1 is too hot")), True),  # a LocalizedText to its text
        ((OP.Equals, NAME, literal(ua.QualifiedName("Overspeed"))), True),
        ((OP.Equals, field("SourceNode"), literal(SOURCE)), True),
        ((OP.Equals, field("SourceNode"), literal("ns=2;s=Plant.Press1")), True),
        ((OP.Equals, field("SourceNode"), literal("ns=2;s=Plant.Press2")), False),
        ((OP.Equals, field("SourceNode"), literal(5)), False),
        ((OP.Equals, field("EventId"), literal(b"\x01" * 16)), True),
        ((OP.Equals, field("Quality"), literal(CODES.BadNoCommunication, _T.UInt32)), True),
        ((OP.Equals, field("Time"), literal(datetime(2026, 3, 1, 12))), True),
        ((OP.Equals, field("Time"), literal("2026-03-01T12:00:00")), False),  # explicit only
        ((OP.Equals, MISSING, literal(None)), False),  # NULL
        ((OP.Equals, field("ActiveState/Id"), literal(True)), True),
        ((OP.Equals, field("ActiveState/Id"), literal("true")), True),
        ((OP.Equals, field("ActiveState/Id"), literal(1)), True),
        ((OP.IsNull, MISSING), True),
        ((OP.IsNull, field("BranchId")), True),
        ((OP.IsNull, SEVERITY), False),
        ((OP.GreaterThan, SEVERITY, literal(699.5)), True),
        ((OP.GreaterThan, SEVERITY, literal(700)), False),
        ((OP.GreaterThan, MISSING, literal(0)), False),
        ((OP.LessThan, field("Time"), literal(datetime(2026, 3, 1, 12, 0, 1))), True),
        ((OP.LessThan, SOURCE_TEXT, literal("Press2")), True),
        ((OP.LessThan, field("SourceNode"), literal(SOURCE)), False),  # NodeIds have no order
        ((OP.GreaterThanOrEqual, SEVERITY, literal(700)), True),
        ((OP.LessThanOrEqual, SEVERITY, literal(699)), False),
        ((OP.Like, MESSAGE, literal("Press _ is%")), True),
        ((OP.Like, MESSAGE, literal("press%")), False),
        ((OP.Like, field("SourceNode"), literal("%s=Plant.Press[0-5]")), True),
        ((OP.Like, MISSING, literal("%")), False),
        ((OP.Like, SEVERITY, literal("7%")), False),  # a number becomes no String unasked
        ((OP.Between, SEVERITY, literal(700), literal(900)), True),
        ((OP.Between, SEVERITY, literal(701), literal(900)), False),
        ((OP.Between, field("HighLimit"), literal("80"), literal(81, _T.Int64)), True),
        ((OP.InList, SOURCE_TEXT, literal("Press2"), literal("Press1")), True),
        ((OP.InList, SOURCE_TEXT, literal("Press2"), literal(3)), False),
        ((OP.InList, field("SourceNode"), literal(ua.NodeId(1)), literal(SOURCE)), True),
        ((OP.OfType, KIND), True),
        ((OP.OfType, literal(ALARM)), True),
        ((OP.OfType, literal(ua.NodeId(_IDS.OffNormalAlarmType))), False),
        ((OP.Equals, field("Severity", _IDS.OffNormalAlarmType), literal(700)), False),  # of another type: NULL
        ((OP.Equals, field("Severity", _IDS.LimitAlarmType), literal(700)), True),
        ((OP.Equals, field("Message", index_range="0:4"), literal("Press")), False),  # a LocalizedText has no parts
        ((OP.Equals, field("ConditionName", index_range="0:3"), literal("Over")), True),
    ],
)
def test_an_element(passes: Test, clause: tuple[Any, ...], expected: bool) -> None:
    assert passes(clause) is expected


@pytest.mark.parametrize(
    ("operator", "first", "second", "expected"),
    [
        *(
            (OP.And, left, right, left is TRUE and right is TRUE)
            for left in (TRUE, FALSE, NULL)
            for right in (TRUE, FALSE, NULL)
        ),
        *(
            (OP.Or, left, right, left is TRUE or right is TRUE)
            for left in (TRUE, FALSE, NULL)
            for right in (TRUE, FALSE, NULL)
        ),
    ],
)
def test_three_valued_logic(passes: Test, operator: Any, first: Any, second: Any, expected: bool) -> None:
    assert passes((operator, element(1), element(2)), first, second) is expected


def test_not_of_null_is_null(passes: Test) -> None:
    assert not passes((OP.Not, element(1)), (OP.Equals, MISSING, literal(1)))
    assert not passes((OP.Not, element(1)), (OP.Not, element(2)), (OP.Equals, MISSING, literal(1)))
    assert passes((OP.Not, element(1)), FALSE)
    assert passes((OP.Or, element(1), element(2)), (OP.Not, element(3)), TRUE, (OP.Equals, MISSING, literal(1)))
    # NULL and FALSE is FALSE, of which NOT is TRUE; NULL and TRUE is NULL
    unknown = (OP.Equals, MISSING, literal(1))
    assert passes((OP.Not, element(1)), (OP.And, element(2), element(3)), unknown, FALSE)
    assert not passes((OP.Not, element(1)), (OP.And, element(2), element(3)), unknown, TRUE)


@pytest.mark.parametrize(
    ("value", "data_type", "expected"),
    [
        (field("Severity"), 12, "700"),
        (field("HighLimit"), 6, 81),  # rounded
        (literal("12.5"), 11, 12.5),
        (field("Time"), 12, "2026-03-01T12:00:00Z"),
        (literal("2026-03-01T12:00:00"), 13, datetime(2026, 3, 1, 12)),
        (literal("i=2253"), 17, ua.NodeId(2253)),
        (literal(1), 1, True),
        (literal(70000), 5, None),
        (literal("no number"), 6, None),
        (MISSING, 6, None),
    ],
)
def test_cast(passes: Test, value: Any, data_type: int, expected: Any) -> None:
    wanted = (OP.Cast, value, literal(ua.NodeId(data_type)))
    if expected is None:
        assert passes((OP.IsNull, element(1)), wanted)
    else:
        assert passes((OP.Equals, element(1), literal(expected)), wanted)
        assert not passes((OP.IsNull, element(1)), wanted)


def test_bits(passes: Test) -> None:
    bits = field("LastSeverity")
    assert passes((OP.Equals, element(1), literal(0b10)), (OP.BitwiseAnd, bits, literal(0b11, _T.UInt16)))
    assert passes((OP.Equals, element(1), literal(0b1011)), (OP.BitwiseOr, bits, literal(1, _T.Int64)))
    assert passes((OP.IsNull, element(1)), (OP.BitwiseAnd, bits, literal(1.0)))
    assert not passes((OP.BitwiseAnd, bits, literal(0b11)))  # a number is no Boolean


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("main", "m%n", True), ("man", "m%n", True), ("mane", "m%n", False), ("main", "%ain", True),
        ("abc", "a_c", True), ("ac", "a_c", False), ("abc", "[abc][b-c]c", True), ("abc", "a[^b]c", False),
        ("axc", "a[^b]c", True), ("50%", r"50\%", True), ("50x", r"50\%", False), ("a[b", "a[b", True),
        ("a\nb", "a%b", True), ("", "%", True), ("", "", True), ("x", "", False), ("a-c", "a[-]c", True),
        ("abcabd", "%ab_", True), ("ab", "%%b", True), ("a^", "a[x^]", True), ("tool", r"t[^\x]ol", True),
    ],
)  # fmt: skip
def test_like(text: str, pattern: str, expected: bool) -> None:
    assert like(text, pattern) is expected


def test_no_pattern_takes_for_ever() -> None:
    assert not like("a" * 2000, "%a" * 100 + "b")  # one that tries every way never ends: the test's limit


def test_no_clause_takes_for_ever(passes: Test) -> None:
    deep = [(OP.And, element(number + 1), element(number + 1)) for number in range(90)]
    assert passes(*deep, TRUE)  # 2 to the power of 90 comparisons, if each were made


@pytest.mark.parametrize(
    ("elements", "status", "operands"),
    [
        ([(OP.InView, literal(ua.NodeId(1)))], CODES.BadFilterOperatorUnsupported, []),
        ([(OP.RelatedTo, *[literal(1)] * 6)], CODES.BadFilterOperatorUnsupported, []),
        ([(OP.Equals, SEVERITY)], CODES.BadFilterOperandCountMismatch, []),
        ([(OP.IsNull, SEVERITY, SEVERITY)], CODES.BadFilterOperandCountMismatch, []),
        ([(OP.InList, SEVERITY)], CODES.BadFilterOperandCountMismatch, []),
        ([(OP.Not, element(0))], CODES.BadFilterOperandInvalid, [CODES.BadFilterOperandInvalid]),
        ([(OP.Not, element(7))], CODES.BadFilterOperandInvalid, [CODES.BadFilterOperandInvalid]),
        ([(OP.Not, ua.AttributeOperand())], CODES.BadFilterOperandInvalid, [CODES.BadFilterOperandInvalid]),
        ([(OP.Equals, field("Nonsense"), literal(1))], CODES.BadFilterOperandInvalid, [CODES.BadBrowseNameInvalid, 0]),
        ([(OP.OfType, literal(ua.NodeId(4711, 3)))], CODES.BadFilterOperandInvalid, [CODES.BadNodeIdUnknown]),
        ([(OP.OfType, literal(ua.NodeId(62)))], CODES.BadFilterOperandInvalid, [CODES.BadTypeDefinitionInvalid]),
        ([(OP.OfType, literal("x"))], CODES.BadFilterOperandInvalid, [CODES.BadFilterLiteralInvalid]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_for_each_element(
    types: EventTypes, elements: list[Any], status: int, operands: list[int]
) -> None:
    with pytest.raises(InvalidFilterError) as refusal:
        EventFilters(types).make(event_filter(["Message"], where(*elements)))
    (result,) = refusal.value.result.WhereClauseResult.ElementResults
    assert result.StatusCode.value == status
    assert [it.value for it in result.OperandStatusCodes] == operands


@pytest.mark.parametrize(
    ("clause", "status"),
    [
        (field("Message", 62), CODES.BadTypeDefinitionInvalid),
        (field("Message", ua.NodeId(4711, 3)), CODES.BadNodeIdUnknown),
        (field("NoSuchField"), CODES.BadBrowseNameInvalid),
        (field("ActiveState/Nonsense"), CODES.BadBrowseNameInvalid),
        (field("Message", attribute=99), CODES.BadAttributeIdInvalid),
        (field(""), CODES.BadAttributeIdInvalid),
        (field("Message", index_range="3:1"), CODES.BadIndexRangeInvalid),
    ],
)
def test_what_is_wrong_is_told_for_each_select_clause(
    types: EventTypes, clause: ua.SimpleAttributeOperand, status: int
) -> None:
    with pytest.raises(InvalidFilterError) as refusal:
        EventFilters(types).make(event_filter(["Message", clause]))
    assert [it.value for it in refusal.value.result.SelectClauseResults] == [0, status]


@pytest.mark.parametrize(
    "path",
    [
        "EnabledState/EffectiveDisplayName", "ShelvingState/CurrentState/Id", "LimitState/CurrentState",
        "HighHighLimit", "Comment/SourceTimestamp", "ConditionEventId", "NodesToAdd", "CertificateType",
    ],
)  # fmt: skip
def test_every_field_of_every_type_may_be_selected(types: EventTypes, path: str) -> None:
    EventFilters(types).make(event_filter([path]))


def test_the_same_filter_is_compiled_once(types: EventTypes) -> None:
    filters = EventFilters(types)
    first = filters.make(event_filter(["Message"], where(TRUE)))
    assert filters.make(event_filter(["Message"], where(TRUE))) is first
    assert filters.make(event_filter(["Message"], where(FALSE))) is not first


def test_numbers_are_compared_by_their_values() -> None:
    assert common((_T.UInt64, 2**63), (_T.Int64, -1)) is None  # does not fit the common type
    assert common((_T.Float, 0.5), (_T.Double, 0.5)) == (0.5, 0.5)
    assert cast((_T.Int32, [1, 2]), _T.String) == (_T.String, ["1", "2"])

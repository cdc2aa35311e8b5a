"""The REST interface is what its OpenAPI description says, whatever it is sent: asked by schemathesis."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi_checks
from web_rig import World, world

EXAMPLES = 6
"""Of each operation and mode: all together take some ten seconds."""
CHECKS: list[Any] = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_schema_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.negative_data_rejection,
]
KNOWN = {
    "/api/v1/values/{path}": {"path": "Plant.Press1.Target"},
    "/api/v1/history/{path}": {"path": "Plant.Press1.Speed"},
    "/api/v1/aggregates/{path}": {"path": "Plant.Press1.Speed"},
    "/api/v1/alarms/{path}": {"path": "Plant.Press1.Fast"},
    "/api/v1/alarms/{path}/{method}": {"path": "Plant.Press1.Fast", "method": "shelve"},
    "/api/v1/alarms/{path}/limits/{name}": {"path": "Plant.Press1.Fast", "name": "high"},
    "/api/v1/commands/{path}": {"path": "Plant.Press1.Aim"},
}
"""What there is: of a path made up, all that could be seen is that it is not there."""
ROLES = ("Supervisor", "Engineer", "SecurityAdmin")


async def everybody(plant: World) -> str:
    """Return the token of a user who may do everything."""
    await plant.add_user("ada", *ROLES)
    client = await plant.stranger()
    made = await client.post("/api/v1/tokens", json={"user": "ada", "password": "correct horse battery"})
    return str(made.json()["token"])


def ask(url: str, token: str) -> list[str]:
    """Ask every operation; returns those asked."""
    headers = {"Authorization": f"Bearer {token}"}
    description = requests.get(f"{url}/api/v1/openapi.json", timeout=10).json()
    description["security"] = []  # who asks is the same for all: test_web_login asks without
    schema = schemathesis.openapi.from_dict(description)
    asked: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            operation = found.ok()
            known = KNOWN.get(operation.path)
            modes = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
            if operation.label == "POST /api/v1/tokens":
                modes.remove(GenerationMode.POSITIVE)  # made-up passwords are answered later and later
            for mode in modes:
                for path in {None, *([str(known)] if known else [])}:
                    fixed = None if path is None else known
                    one(operation, mode, fixed, url, headers, session)
            asked.append(operation.label)
    return asked


def one(operation: Any, mode: Any, fixed: Any, url: str, headers: dict[str, str], session: requests.Session) -> None:
    """Ask one operation some ways."""
    strategy = operation.as_strategy(generation_mode=mode, path_parameters=fixed)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=strategy)
    def asking(case: Any) -> None:
        case.call_and_validate(base_url=url, session=session, headers=headers, checks=CHECKS)

    try:
        asking()
    except Unsatisfiable:
        if mode is GenerationMode.POSITIVE:  # else: there is nothing wrong that it could be sent
            raise


@pytest.mark.timeout(180)
async def test_it_is_as_described_whatever_it_is_sent(tmp_path: Path) -> None:
    async with world(tmp_path, requests_per_minute=1_000_000) as plant:
        asked = await asyncio.to_thread(ask, plant.url, await everybody(plant))
        assert len(asked) == len(set(asked)) >= 25
        assert {"PUT /api/v1/values/{path}", "POST /api/v1/commands/{path}", "GET /api/v1/data"} <= set(asked)


async def test_the_description_is_openapi_and_names_what_may_go_wrong(plant: World) -> None:
    description = (await (await plant.stranger()).get("/api/v1/openapi.json")).json()
    assert description["openapi"].startswith("3.1")
    for schema in description["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            answers = operation["responses"]
            assert {"401", "403", "422", "429"} <= set(answers), (method, path)
            assert all("application/problem+json" in it["content"] for code, it in answers.items() if int(code) >= 400)

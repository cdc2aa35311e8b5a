"""A Grafana to provision where there is none: it keeps what it is given, and holds every request against the API.

No Grafana can be had from the package registries. What its API takes is written down here in our own words, from its
reference; where a copy of Grafana's OpenAPI description is at hand, every request is held against that as well.
"""

import json
import os
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import jsonschema

TOKEN = "glsa_for_tests"
VERSION = "12.3.0"
ROOT = Path(__file__).resolve().parent.parent.parent
OPENAPI = Path(os.environ.get("GRAFANA_OPENAPI", ROOT.parent / "shared" / "data" / "grafana" / "openapi3.json"))
"""Grafana's description (AGPL, so not in this repository)."""


def _closed(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split(), "additionalProperties": False}


TEXT, WHOLE, FLAG, ANY = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "object"}
UID = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}
TEXTS = {"type": "object", "additionalProperties": TEXT}
_SPAN = _closed("from to", **{"from": WHOLE, "to": WHOLE})
_QUERY = _closed(
    "refId model", refId=TEXT, queryType=TEXT, datasourceUid=TEXT, relativeTimeRange=_SPAN, model=ANY
)  # fmt: skip
_RULE = _closed(
    "title condition data folderUID ruleGroup orgID for noDataState execErrState",
    uid=UID, orgID=WHOLE, folderUID=UID, ruleGroup=TEXT, condition=TEXT, isPaused=FLAG, annotations=TEXTS, labels=TEXTS,
    title={"type": "string", "minLength": 1, "maxLength": 190}, data={"type": "array", "items": _QUERY, "minItems": 1},
    noDataState={"enum": ["Alerting", "NoData", "OK", "KeepLast"]},
    execErrState={"enum": ["OK", "Alerting", "Error", "KeepLast"]},
    notification_settings=_closed("receiver", receiver=TEXT), **{"for": {"type": "string"}},
)  # fmt: skip
_SOURCE = _closed(
    "name type access", uid=UID, name=TEXT, type=TEXT, access={"enum": ["proxy", "direct"]}, url=TEXT, isDefault=FLAG,
    basicAuth=FLAG, basicAuthUser=TEXT, jsonData=ANY, secureJsonData=TEXTS, user=TEXT, database=TEXT,
)  # fmt: skip
_CONTACT = _closed("name type settings", uid=UID, name=TEXT, type=TEXT, settings=ANY, disableResolveMessage=FLAG)
OPERATIONS: dict[tuple[str, str], Any] = {
    ("GET", "/health"): None,
    ("GET", "/folders/{uid}"): None,
    ("POST", "/folders"): _closed("title", uid=UID, title=TEXT, parentUid=UID, description=TEXT),
    ("PUT", "/folders/{uid}"): _closed("title", title=TEXT, overwrite=FLAG, version=WHOLE, description=TEXT),
    ("GET", "/datasources/uid/{uid}"): None,
    ("GET", "/datasources/uid/{uid}/health"): None,
    ("POST", "/datasources"): _SOURCE,
    ("PUT", "/datasources/uid/{uid}"): _SOURCE,
    ("GET", "/v1/provisioning/contact-points"): None,
    ("POST", "/v1/provisioning/contact-points"): _CONTACT,
    ("PUT", "/v1/provisioning/contact-points/{uid}"): _CONTACT,
    ("GET", "/v1/provisioning/folder/{folder}/rule-groups/{group}"): None,
    ("PUT", "/v1/provisioning/folder/{folder}/rule-groups/{group}"): _closed(
        "title folderUid interval rules",
        title=TEXT, folderUid=UID, interval=WHOLE, rules={"type": "array", "items": _RULE},
    ),
    ("GET", "/dashboards/uid/{uid}"): None,
    ("POST", "/dashboards/db"): _closed(
        "dashboard", dashboard=ANY, folderUid=UID, overwrite=FLAG, message=TEXT
    ),
    ("POST", "/annotations"): _closed(
        "text", time=WHOLE, timeEnd=WHOLE, tags={"type": "array", "items": TEXT}, text=TEXT, dashboardUID=TEXT,
        panelId=WHOLE,
    ),
    ("PATCH", "/annotations/{id}"): _closed("", time=WHOLE, timeEnd=WHOLE, text=TEXT),
}  # fmt: skip


def operation(method: str, path: str) -> tuple[str, str] | None:
    """Find the operation that a request is of."""
    for known in OPERATIONS:
        if known[0] == method and re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", known[1]), path):
            return known
    return None


class StandIn:
    """Serves on 127.0.0.1; `requests` are all (method, path, body) and `faults` what the API would not have taken."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.faults: list[str] = []
        self.things: dict[str, Any] = {}
        self.database = "ok"
        self.version = VERSION
        self.is_other = False
        self.answer: tuple[int, Any] | None = None
        """What everything but /health is answered with, if anything."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                path = self.path.partition("?")[0]
                if not path.startswith("/api"):
                    stand_in.faults.append(f"no API: {path}")
                is_known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
                status, answer = stand_in.take(self.command, path.removeprefix("/api"), body, is_known=is_known)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = _serve  # noqa: N815  their names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, method: str, path: str, body: Any, *, is_known: bool) -> tuple[int, Any]:
        """Answer a request as Grafana does."""
        self.requests.append((method, path, body))
        known = operation(method, path)
        if known is None:
            self.faults.append(f"no such operation: {method} {path}")
            return 404, {"message": "Not found"}
        self.faults += faults_of(known, body)
        if path == "/health" and self.is_other:
            return 200, ["something else"]
        if path == "/health":
            return 200, {"database": self.database, "version": self.version, "commit": "0"}
        if not is_known:
            return 401, {"message": "Invalid API key"}
        if self.answer is not None:
            return self.answer
        if method == "GET":
            return self._get(path)
        if path == "/annotations":
            return 200, {"id": len(self.requests), "message": "Annotation added"}
        return self._put(path, body)

    def _get(self, path: str) -> tuple[int, Any]:
        if path.endswith("/health"):
            return 200, {"status": "OK", "message": "Successfully queried the Prometheus API."}
        if path.endswith("/contact-points"):
            return 200, [thing for place, thing in self.things.items() if place.startswith(f"{path}/")]
        thing = self.things.get(path)
        return (200, thing) if thing is not None else (404, {"message": "not found"})

    def _put(self, path: str, body: Any) -> tuple[int, Any]:
        if path == "/dashboards/db":
            dashboard = {**body["dashboard"], "id": 7, "version": 1}
            self.things[f"/dashboards/uid/{dashboard['uid']}"] = {
                "dashboard": dashboard, "meta": {"folderUid": body["folderUid"], "canSave": True},
            }  # fmt: skip
        elif path.startswith("/datasources"):
            secrets = dict.fromkeys(body.pop("secureJsonData", {}), True)
            self.things[f"/datasources/uid/{body['uid']}"] = {**body, "id": 3, "secureJsonFields": secrets}
        elif path.startswith("/annotations/"):
            self.things[path] = body
        else:
            place = path if "uid" not in body or path.endswith(f"/{body['uid']}") else f"{path}/{body['uid']}"
            self.things[place] = {**self.things.get(place, {}), **body}
        return 200, {"message": "done"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def faults_of(known: tuple[str, str], body: Any) -> list[str]:
    """Say what the API would not take of a request's body."""
    schemas = [OPERATIONS[known]]
    if OPENAPI.exists():
        schemas.append(described(json.loads(OPENAPI.read_text(encoding="utf-8")), *known))
    faults = [f"{known}: a body is {'missing' if body is None else 'too much'}"] * (
        (body is None) != (schemas[0] is None)
    )
    for schema in schemas:
        if schema is not None and body is not None:
            faults += [
                f"{known} {e.json_path}: {e.message}" for e in jsonschema.Draft7Validator(schema).iter_errors(body)
            ]
    return faults


def described(openapi: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """Return the schema of a body in an OpenAPI 3 description; AssertionError where it has no such operation."""
    wanted = re.sub(r"\{[^}]*\}", "{}", path)
    places = {re.sub(r"\{[^}]*\}", "{}", place): item for place, item in openapi["paths"].items()}
    assert wanted in places, f"Grafana's API has no {path}"
    assert method.lower() in places[wanted], f"Grafana's API has no {method} {path}"
    body = places[wanted][method.lower()].get("requestBody")
    if body is None:
        return None
    if "$ref" in body:
        body = openapi["components"]["requestBodies"][body["$ref"].rpartition("/")[2]]
    content = next(iter(body["content"].values()))
    return {**content["schema"], "components": openapi["components"]}

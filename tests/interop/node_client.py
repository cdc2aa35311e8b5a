"""The Python side of client.mjs: one node process, asked in lines of JSON."""

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

CLIENT = Path(__file__).with_name("client.mjs")
CHECKOUT = CLIENT.parents[2]
INSTALL = "install Node.js 20 or later, then run `npm ci` in the root of the checkout"


class RefusedError(Exception):
    """The server or node-opcua refused a request; `status` is the StatusCode's name, None when there is none."""

    def __init__(self, message: str, status: str | None) -> None:
        super().__init__(message)
        self.status = status


class NodeClient:
    """node-opcua in a process of its own; thread-safe, but one request at a time."""

    def __init__(self, log: Path) -> None:
        node = shutil.which("node")
        if node is None:
            raise AssertionError(f"there is no `node`: {INSTALL}")
        if not (CHECKOUT / "node_modules" / "node-opcua").is_dir():
            raise AssertionError(f"node-opcua is not installed: {INSTALL}")
        self.log = log
        self._lock = threading.Lock()
        self._number = 0
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [node, str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )

    def ask(self, op: str, **parameters: Any) -> Any:
        """Return the result of an operation of client.mjs; raises RefusedError."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with self._lock:
            self._number += 1
            stdin.write(json.dumps({"id": self._number, "op": op, **parameters}) + "\n")
            stdin.flush()
            line = stdout.readline()
            if not line:
                raise AssertionError(f"client.mjs has ended:\n{self.log.read_text()}")
            answer = json.loads(line)
        assert answer["id"] == self._number
        if "error" in answer:
            raise RefusedError(answer["error"]["message"], answer["error"]["status"])
        return answer["result"]

    def kill(self) -> None:
        """Let the process vanish with its connections open."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@dataclass(frozen=True)
class Identity:
    """A client application: its PKI folder, applicationUri and common name."""

    folder: Path
    uri: str
    name: str
    certificate: Path


@dataclass
class Connection:
    """A session of node-opcua."""

    client: NodeClient
    number: int
    _taken: dict[str, int] = field(default_factory=dict)

    def ask(self, op: str, **parameters: Any) -> Any:
        """Ask for an operation on this connection."""
        return self.client.ask(op, connection=self.number, **parameters)

    def read(self, node: str, attribute: str = "Value") -> dict[str, Any]:
        """Read one attribute: {value, type, array, status, source, server}."""
        return self.ask("read", nodes=[[node, attribute]])[0]

    def value(self, path: str) -> Any:
        """Read the value of the plant's variable at `path`."""
        return self.read(f"ns=2;s={path}")["value"]

    def write(self, path: str, kind: str, value: Any, **options: Any) -> str:
        """Write the plant's variable at `path`; returns the StatusCode's name."""
        return self.ask("write", node=f"ns=2;s={path}", type=kind, value=value, **options)

    def call(self, path: str, *arguments: Sequence[Any], method: str | None = None) -> dict[str, Any]:
        """Call the method at `path`, or `method` on the object of `path`: {status, arguments, outputs}."""
        owner = path if method else path.rpartition(".")[0]
        return self.ask("call", object=f"ns=2;s={owner}", method=f"ns=2;s={method or path}", arguments=arguments)

    def wait_for(self, kind: str, holds: Callable[[Any], bool], what: str, within: float = 30.0) -> Any:
        """Return the next of the "notifications" or "events" that `holds` accepts."""
        deadline = time.monotonic() + within
        seen: list[Any] = []
        while (left := deadline - time.monotonic()) > 0:
            new = self.ask("wait", kind=kind, after=self._taken.get(kind, 0), within=left)
            for item in new:
                self._taken[kind] = self._taken.get(kind, 0) + 1
                seen.append(item)
                if holds(item):
                    return item
        raise AssertionError(f"not within {within:g} s: {what}; there were {seen[-5:]}")

    def wait_value(self, path: str, holds: Callable[[Any], bool], what: str, within: float = 30.0) -> Any:
        """Wait until the value at `path`, which must be subscribed to, is accepted by `holds`."""
        node = f"ns=2;s={path}"
        return self.wait_for("notifications", lambda it: it["node"] == node and holds(it["value"]), what, within)

    def close(self) -> None:
        """Close session and channel."""
        self.ask("disconnect")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def make_identity(client: NodeClient, folder: Path, name: str, **options: Any) -> Identity:
    """Have node-opcua's certificate manager make a key and a certificate."""
    uri = f"urn:interop:{name}"
    file = client.ask("identity", folder=str(folder), applicationUri=uri, commonName=name, **options)
    return Identity(folder, uri, name, Path(file))


def connect(
    client: NodeClient, endpoint: str, identity: Identity, user: tuple[str, str] | None = None,
    policy: str = "Basic256Sha256", mode: str = "SignAndEncrypt", **options: Any,
) -> Connection:  # fmt: skip
    """Open a session; `user` is (name, password), None for anonymous."""
    token: Mapping[str, str] | None = None if user is None else {"userName": user[0], "password": user[1]}
    parameters: dict[str, Any] = {"applicationUri": identity.uri, **options}
    number = client.ask(
        "connect", endpoint=endpoint, policy=policy, mode=mode, identity=str(identity.folder), user=token, **parameters
    )
    return Connection(client, number)

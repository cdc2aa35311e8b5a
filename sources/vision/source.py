"""The source: starts the vision process, writes what it tells into the store, and hands evidence on."""

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, cast

import numpy as np

from address_space.load import did_you_mean
from address_space.model import Machine, Variable
from server import logs
from server.ports import CommandError, SourceContext
from server.quality import BAD_NO_COMMUNICATION, BAD_NOT_SUPPORTED, BAD_NOT_WRITABLE
from server.store import now_ticks
from sources.vision.columns import Columns
from sources.vision.evidence import Archive
from sources.vision.ports import BlindReason, StorageStatus, VisionEvent
from sources.vision.priority import let_end, stand_behind
from sources.vision.settings import CameraSettings, read_settings
from sources.vision.start import Start
from sources.vision.wire import HEARTBEAT, Fault, Message, Ready, State, decode

CHECKOUT: Final = Path(__file__).resolve().parents[2]
_LONGEST_LINE: Final = 1 << 20
_STOP_S: Final = 1.0  # s that the process has to end by itself

_LOADING_S: Final = 60.0  # s that models may take to load before that makes cameras blind
_SILENT: Final = "the vision process does not answer"

log = logs.get(__name__)


class VisionError(Exception):
    """The vision process could not start, or ended, in one sentence."""


class VisionSource:
    """Cameras, each a machine (the `Source` port); raises PlantError for options or models that cannot be.

    `archive` reads the evidence. Evidence of an alarm is offered before its variable turns True.
    """

    def __init__(self, context: SourceContext) -> None:
        self._name, self._store, self._plant = context.name, context.store, context.plant
        self.settings = read_settings(context.plant, context.name, context.options)
        self._check_models()
        self._machines = self._match(context.machines)
        self._rules = {
            machine.path: [name for name, rule in self.settings.cameras[key].rules.items() if rule.enabled]
            for key, machine in self._machines.items()
        }
        self._columns = {machine.path: self._columns_of(key, machine) for key, machine in self._machines.items()}
        self.archive = Archive(self._evidence_folder(context.data_dir))
        self._evidence = context.evidence
        if self._evidence is not None:
            self._evidence.add(self.archive)
        self.storage: StorageStatus | None = None
        self.states: dict[str, State] = {}
        """The last word about each camera, by path."""
        self.active: dict[str, set[str]] = {machine.path: set() for machine in self._machines.values()}
        """The rules whose alarms are raised, by the camera's path."""
        self._blind: dict[str, BlindReason | None] = {}
        self._before: dict[str, State] = {}
        """The last word about each camera of the processes before this one: what is counted goes on from there."""
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False

    @property
    def pid(self) -> int | None:
        """The number of the vision process, None while there is none."""
        return self._process.pid if self._process is not None else None

    async def run(self) -> None:
        """Run the vision process and write what it tells until cancelled; raises VisionError when it ends."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sources.vision.worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=CHECKOUT, limit=_LONGEST_LINE,
        )  # fmt: skip
        self._process, self._ready = process, False
        self._before = dict(self.states)
        self._stand()
        try:
            stand_behind(process.pid, self.settings.priority, self.settings.nice)
            for columns in self._columns.values():
                ids, values, statuses = columns.unfed()
                self._store.write(ids, values, now_ticks(), statuses)
            if process.stdin is None or process.stdout is None:
                raise VisionError("the vision process has no pipes")
            process.stdin.write(self._start_line())
            await process.stdin.drain()
            await self._listen(process.stdout)
            raise VisionError(f"the vision process ended with code {await process.wait()}")
        finally:
            self._process = None
            for columns in self._columns.values():  # nobody watches: what was seen last is no longer so
                self._store.set_status(columns.ids, BAD_NO_COMMUNICATION)
            await _end(process, _STOP_S if self._ready else 0.0)  # one that starts has nothing to bring to an end

    async def put(self, variable: Variable, value: Any) -> None:
        """Refuse: a camera takes no set-points."""
        raise CommandError(BAD_NOT_WRITABLE, f"{variable.path} is what a camera shows")

    async def execute(self, machine: Machine, command: str, arguments: tuple[Any, ...]) -> None:
        """Refuse: a camera has no commands."""
        raise CommandError(BAD_NOT_SUPPORTED, f"{machine.path}: a camera has no command {command}")

    async def emergency_stop(self, machine: Machine, active: bool) -> None:
        """Do nothing: a camera moves nothing, and goes on watching."""

    def _stand(self) -> None:
        """Have the process go on with alarms that stand, also those of before a restart of the server."""
        if self._evidence is None:
            return
        for machine in self._machines.values():
            rules = [variable for name, variable in machine.variables.items() if name in self._rules[machine.path]]
            self.active[machine.path] |= {rule.name for rule in rules if self._evidence.standing(rule)}

    async def _listen(self, output: asyncio.StreamReader) -> None:
        """Take what the process tells until it has ended; while it says nothing, its cameras are blind.

        Raises VisionError once it has said nothing for `restart_after` s, and before its first word for as long as
        models may take to load.
        """
        silent = 0.0
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    line = await output.readline()
            except TimeoutError:
                silent += HEARTBEAT  # not by the clock: a server that was held up itself has missed nothing
                self._miss(silent)
                patience = self.settings.restart_after
                if patience is not None and silent >= (patience if self._ready else max(patience, _LOADING_S)):
                    raise VisionError(f"the vision process has not answered for {silent:g} s") from None
                continue
            if not line:
                return
            silent = 0.0
            self._take(decode(line))

    def _miss(self, silent: float) -> None:
        """Show cameras as late that nothing was told of for `silent` s: the process may be starved, or hang."""
        for key, machine in self._machines.items():
            late = self.settings.cameras[key].blind.late if self._ready else _LOADING_S
            if silent < late + HEARTBEAT:
                continue
            active = self.active[machine.path]
            before = self.states.get(machine.path) or State(
                machine.path, fresh=False, captured=0, latency=0.0, rate=0.0, arrived=0, dropped=0, detected=0,
                objects=0, blind=None, error="", rules={rule: rule in active for rule in self._rules[machine.path]},
                last=None, last_time=0,
            )  # fmt: skip
            blind = before.blind if before.blind == "lost" else "late"
            self._show(replace(before, fresh=False, rate=0.0, blind=blind, error=_SILENT))

    def _take(self, message: Message) -> None:
        """Take a word from the process."""
        match message:
            case State():
                self._show(self._counted(message))
            case VisionEvent():
                active = self.active[message.camera]
                (active.add if message.active else active.discard)(message.rule)
                log.info("vision alarm", camera=message.camera, rule=message.rule, active=message.active)
                if message.evidence is not None and self._evidence is not None:
                    variable = self._plant.variable(f"{message.camera}.{message.rule}")
                    self._evidence.offer(variable, message.evidence)
            case StorageStatus():
                if message.error and (self.storage is None or message.error != self.storage.error):
                    log.error("evidence cannot be stored", source=self._name, error=message.error)
                pruned = self.storage is None or message.items <= self.storage.items
                self.storage = message
                if pruned and self._evidence is not None:
                    self._evidence.changed()
            case Ready():
                self._ready = True
                log.info("vision is ready", source=self._name, models=message.models)
            case Fault():
                raise VisionError(message.error)

    def _counted(self, state: State) -> State:
        """Return a state whose counts go on where those of the process before ended."""
        before = self._before.get(state.camera)
        if before is None:
            return state
        return replace(state, detected=before.detected + state.detected, dropped=before.dropped + state.dropped)

    def _show(self, state: State) -> None:
        columns = self._columns[state.camera]
        # That a picture is late is known now; all else is as the picture was.
        stamp = state.captured if state.fresh and state.blind != "late" else now_ticks()
        parts = [columns.diagnostic(state)]
        if self.storage is not None:
            parts.append(columns.stored(state, self.storage))
        if state.fresh or state.blind is not None:
            parts.append(columns.content(state))
        # One write: each one wakes all that follow the journal.
        ids, values, statuses = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        self._store.write(ids, values, stamp, statuses)
        self.states[state.camera] = state
        if self._blind.get(state.camera) != state.blind:
            self._blind[state.camera] = state.blind
            level = log.info if state.blind is None else log.warning
            level("camera sight", camera=state.camera, blind=state.blind or "no", error=state.error)

    def _start_line(self) -> bytes:
        start = Start(
            settings=self.settings,
            folder=self._plant.file.parent.absolute(),
            evidence=self.archive.folder,
            paths={key: machine.path for key, machine in self._machines.items()},
            active={path: sorted(rules) for path, rules in self.active.items()},
            log=logs.configured(),
        )
        return start.model_dump_json().encode() + b"\n"

    def _match(self, machines: tuple[Machine, ...]) -> dict[str, Machine]:
        """Return the machine of each camera's name in the options."""
        by_key: dict[str, Machine] = {machine.path: machine for machine in machines}
        by_key |= {machine.name: machine for machine in machines}
        cameras: Mapping[str, CameraSettings] = self.settings.cameras
        for key in cameras:
            if key not in by_key:
                hint = did_you_mean(key, list(by_key)) or f"; it feeds {', '.join(m.path for m in machines) or 'none'}"
                raise self._fault(("cameras", key), f"is no machine of this source{hint}")
        found = {key: by_key[key] for key in cameras}
        for machine in machines:
            if list(found.values()).count(machine) != 1:
                raise self._fault(("cameras",), f"{machine.path} must be configured here, once")
        return found

    def _columns_of(self, key: str, machine: Machine) -> Columns:
        camera = self.settings.cameras[key]
        try:
            return Columns(machine, self._rules[machine.path], detects=bool(camera.models))
        except ValueError as error:
            raise self._fault(("cameras", key, "rules"), str(error)) from error

    def _evidence_folder(self, data_dir: Path) -> Path:
        folder = self.settings.evidence.folder
        return (data_dir / (folder or Path("vision", self._name))).absolute()

    def _check_models(self) -> None:
        for name, model in self.settings.models.items():
            second = model.second
            for where, part in (("models", name), model), (("models", name, "second"), second):
                if part is None:
                    continue
                file = self._plant.file.parent / part.file
                if not file.is_file():
                    raise self._fault((*where, "file"), f"there is no file {file}")

    def _fault(self, place: tuple[str, ...], message: str) -> Exception:
        return cast("Exception", self._plant.error(("sources", self._name, *place), message))


async def _end(process: asyncio.subprocess.Process, patience: float) -> None:
    """Let the process end by itself, which closing its input asks for; kill it where it has not after `patience` s."""
    if process.returncode is None:
        let_end(process.pid)
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

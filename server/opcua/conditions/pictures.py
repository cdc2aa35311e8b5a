"""Pictures of alarms of the past: each camera's newest, looked up away from the event loop when the archive changes."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice

from address_space.model import AlarmKind, Machine, MachineType, Plant, Role
from server.evidence import READ_ROLE, Evidence, EvidenceRegister
from server.opcua.conditions.members import Path
from server.security.principal import Principal

FOLDER = "Snapshots"
MOST = 100
"""Alarms of a camera whose pictures are in the tree; those of older ones are had over HTTP by their id."""
SUFFIX, CLEAN = ".jpg", ".clean.jpg"
_LOOK_S = 60.0
"""Between two looks where nobody told of a change."""
_PAUSE_S = 1.0


@dataclass(frozen=True, slots=True)
class Picture:
    """A file: its object's identifier, what it shows, and the role that reads the variable of its rule."""

    path: str
    evidence: Evidence
    clean: bool
    role: Role

    @property
    def name(self) -> str:
        """The file's name: as over HTTP."""
        return f"{self.evidence.id}{CLEAN if self.clean else SUFFIX}"

    def may_read(self, principal: Principal) -> bool:
        """Whether a principal may see it: as who reads history of the variable that its alarm is on."""
        return principal.has(READ_ROLE) and principal.has(self.role)


def has_folder(kind: MachineType) -> bool:
    """Whether machines of a type have pictures; one that has something else of that name has no folder."""
    taken = {*kind.variables, *kind.commands, *kind.alarms}
    return FOLDER not in taken and any(alarm.kind is AlarmKind.VISION for alarm in kind.alarms.values())


Files = Mapping[str, Picture]


class Pictures:
    """The pictures of all cameras; `register` finds them, `changed` learns whose folder has others now."""

    def __init__(self, plant: Plant) -> None:
        self.register: EvidenceRegister | None = None
        self.changed: Callable[[str], None] | None = None
        self._plant = plant
        self._cameras = [machine for machine in plant.objects if self.has_folder(machine)]
        self._files: dict[str, Files] = {}
        self._stirred = asyncio.Event()
        self._meanwhile: list[Evidence] = []
        """What came since the last look began."""

    def has_folder(self, machine: Machine) -> bool:
        """Whether a machine has a folder of pictures."""
        return has_folder(machine.type) and self._plant.find_machine(f"{machine.path}.{FOLDER}") is None

    def is_folder(self, identifier: str) -> bool:
        """Whether an identifier is that of a machine's folder."""
        owner, _, name = identifier.rpartition(".")
        machine = self._plant.find_machine(owner)
        return name == FOLDER and machine is not None and self.has_folder(machine)

    def of(self, camera: str) -> Files:
        """Return the files of a camera's folder by name, newest first."""
        return self._files.get(camera, {})

    def find(self, identifier: str) -> tuple[Picture, Path] | None:
        """Return the picture that an identifier is of, and where below its file; None for any other node."""
        camera, mark, rest = identifier.partition(f".{FOLDER}.")
        stem, dot, below = rest.partition(SUFFIX)
        picture = self.of(camera).get(f"{stem}{SUFFIX}") if mark and dot else None
        if picture is None or (below and not below.startswith(".")):
            return None
        return picture, tuple(below[1:].split(".")) if below else ()

    def tell(self, come: Evidence | None) -> None:
        """Take what came without a look at the archive; None has it looked at."""
        if come is None:
            self._stirred.set()
        else:
            self._meanwhile.append(come)
            self._add(come)

    def _add(self, come: Evidence) -> None:
        machine = self._plant.find_machine(come.camera)
        if machine is not None and self.has_folder(machine):
            files = {it.name: it for it in self._pair(machine, come)} | dict(self.of(machine.path))
            self._show({**self._files, machine.path: dict(islice(files.items(), 2 * MOST))})

    async def run(self) -> None:
        """Look at the archive whenever it has changed, until cancelled."""
        if self.register is None or not self._cameras:
            await asyncio.Event().wait()
            return
        self.register.listeners.append(self.tell)
        try:
            while True:
                self._stirred.clear()
                self._meanwhile.clear()
                self._show(await asyncio.to_thread(self._look, self.register))
                for come in self._meanwhile:  # the look may have missed it
                    self._add(come)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_S):
                        await self._stirred.wait()
                await asyncio.sleep(_PAUSE_S)
        finally:
            self.register.listeners.remove(self.tell)

    def _look(self, register: EvidenceRegister) -> dict[str, Files]:
        """Return what there is; for a thread."""
        return {machine.path: self._newest(register, machine) for machine in self._cameras}

    def _newest(self, register: EvidenceRegister, machine: Machine) -> Files:
        known, found = self.of(machine.path), dict[str, Picture]()
        for id_ in register.newest(machine.path, MOST):
            before = known.get(f"{id_}{SUFFIX}")
            evidence = register.find(id_) if before is None else before.evidence
            if evidence is None or evidence.camera != machine.path:
                continue  # it went meanwhile
            found |= {picture.name: picture for picture in self._pair(machine, evidence)}
        return found

    @staticmethod
    def _pair(machine: Machine, evidence: Evidence) -> list[Picture]:
        """Return an alarm's files: the picture with boxes, and the clean one."""
        rule = machine.variables.get(evidence.rule)
        role = Role.Anonymous if rule is None else rule.declaration.read_role
        base = f"{machine.path}.{FOLDER}.{evidence.id}"
        return [Picture(f"{base}{CLEAN if clean else SUFFIX}", evidence, clean, role) for clean in (False, True)]

    def _show(self, files: dict[str, Files]) -> None:
        before, self._files = self._files, files
        for machine in self._cameras:
            if before.get(machine.path, {}).keys() != files.get(machine.path, {}).keys() and self.changed is not None:
                self.changed(f"{machine.path}.{FOLDER}")

"""The steps of a Dockerfile in a plain directory: the same commands in the same order, without an engine.

What cannot be done without one: FROM takes this machine's Python for the image's; a path like /opt/plantree is below a
folder, so commands name paths by ENV variables; USER is remembered for what is run afterwards.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ONLY_NOTED = {"LABEL", "EXPOSE", "VOLUME"}


@dataclass
class Stage:
    """One stage: its root folder, and what its instructions have set."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = "0:0"
    healthcheck: list[str] = field(default_factory=list)
    entrypoint: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)

    def path(self, inside: str) -> Path:
        """Return where a path of the image is."""
        absolute = inside if inside.startswith("/") else f"{self.workdir}/{inside}"
        return self.root / absolute.lstrip("/")

    def environment(self) -> dict[str, str]:
        """Return what a program in the image has, paths below the root."""
        own = {name: str(self.path(value)) if value.startswith("/") else value for name, value in self.env.items()}
        kept = {name: os.environ[name] for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE") if name in os.environ}
        return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(Path.home()), **kept, **own}


class Build:
    """Does a Dockerfile's steps below `folder` with `context` as the build context; `stages` are by name or number."""

    def __init__(self, dockerfile: Path, context: Path, folder: Path) -> None:
        self.context, self.folder = context, folder
        self.stages: dict[str, Stage] = {}
        self.stage = Stage(folder)
        ignore = dockerfile.with_name(dockerfile.name + ".dockerignore").read_text(encoding="utf-8")
        self.allowed = {line[1:] for line in ignore.splitlines() if line.startswith("!")}
        for instruction, rest in instructions(dockerfile.read_text(encoding="utf-8")):
            self._do(instruction, rest)

    def _do(self, instruction: str, rest: str) -> None:
        if instruction in ONLY_NOTED:
            return
        if instruction == "FROM":
            name = rest.split()[2] if " AS " in rest else str(len(self.stages))
            self.stage = self.stages[name] = Stage(self.folder / name)
            self.stage.root.mkdir()
        elif instruction == "ENV":
            self.stage.env |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif instruction == "WORKDIR":
            self.stage.workdir = rest
            self.stage.path(rest).mkdir(parents=True, exist_ok=True)
        elif instruction == "USER":
            self.stage.user = rest
        elif instruction == "COPY":
            self._copy(shlex.split(rest))
        elif instruction == "RUN":
            self._run(re.sub(r"^--mount=\S+ ", "", rest))
        elif instruction == "HEALTHCHECK":
            self.stage.healthcheck = json.loads(rest.partition("CMD ")[2])
        elif instruction == "ENTRYPOINT":
            self.stage.entrypoint = json.loads(rest)
        else:
            raise AssertionError(f"a step that is not known here: {instruction}")

    def _copy(self, words: list[str]) -> None:
        flags = dict(word[2:].split("=", 1) for word in words if word.startswith("--"))
        *sources, target = [word for word in words if not word.startswith("--")]
        source_root = self.stages[flags["from"]].root if "from" in flags else self.context
        for source in sources:
            if "from" not in flags:
                assert source.removeprefix("./") in self.allowed, f".dockerignore leaves out {source}"
            found = source_root / source.lstrip("/")
            into = self.stage.path(target)
            if found.is_dir():
                # What another stage has made is changed no more: its files are the same, and half a gigabyte.
                is_ours = "from" not in flags
                skipped = shutil.ignore_patterns("__pycache__") if is_ours else None
                how = shutil.copy2 if is_ours else os.link
                shutil.copytree(found, into, symlinks=True, ignore=skipped, dirs_exist_ok=True, copy_function=how)
            else:
                into = into / found.name if target.endswith("/") else into
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, into)

    def _run(self, command: str) -> None:
        environment = self.stage.environment()
        # The image's python3 is the one that the tests run with.
        environment["PATH"] = f"{Path(sys.base_prefix) / 'bin'}:{environment['PATH']}"
        directory = self.stage.path(self.stage.workdir)
        done = subprocess.run(
            ["sh", "-ec", command], cwd=directory, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"RUN {command}\n{done.stdout}\n{done.stderr}"
        self.stage.ran.append(command)


def instructions(text: str) -> list[tuple[str, str]]:
    """Return (instruction, rest) of each step, lines that go on joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.split(maxsplit=1)[1].strip()) for line in joined]

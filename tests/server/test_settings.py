import argparse
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pydantic import BaseModel, Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from server import config_cli, settings_layers, settings_load
from server import settings as tree
from server.composition import PlantreeSettings
from server.settings import HttpSettings, Names, OpcUaSettings, Section, Settings, SettingsError
from server.settings_load import leaves, load, origins


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Give an empty current folder and an environment without settings."""
    for name in [name for name in os.environ if name.startswith("PLANTREE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name, text):
    Path(name).write_text(textwrap.dedent(text), encoding="utf-8")
    return Path(name)


def problems(config=None):
    with pytest.raises(SettingsError) as caught:
        load(config)
    return str(caught.value).splitlines()


def test_defaults_are_the_names_that_stay():
    settings = load()
    assert (settings.opcua.host, settings.opcua.port, settings.opcua.allow_none) == ("0.0.0.0", 4840, False)  # noqa: S104
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 8080)
    assert settings.plant == tree.CHECKOUT / "address_space" / "plant.yaml"
    assert (settings.data_dir, settings.certs_dir, settings.nodesets) == (Path("data"), Path("certs"), [])
    assert (settings.sources.stale_after, settings.sources.bad_after, settings.sources.startup) == (2.0, 10.0, "retry")
    assert set(origins(settings).values()) == {"default"}


def test_the_first_source_that_has_a_value_wins_and_is_named(monkeypatch):
    write("plantree.yaml", "data_dir: a\nopcua:\n  # a comment\n  port: 1\n  host: yaml\nhttp: {port: 1}\n")
    write(".env", "# mine\n\nOTHER=1\nexport PLANTREE_OPCUA__HOST='dotenv'\n\nPLANTREE_HTTP__PORT=2\n")
    monkeypatch.setenv("PLANTREE_HTTP__PORT", "3")
    monkeypatch.setenv("plantree_log__level", "WARNING")
    settings = load()
    assert (settings.data_dir, settings.opcua.port) == (Path("a"), 1)
    assert (settings.opcua.host, settings.http.port, settings.log.level) == ("dotenv", 3, "warning")
    found = {name: place for name, place in origins(settings).items() if place != "default"}
    assert found == {
        "data_dir": "plantree.yaml:1",
        "opcua.port": "plantree.yaml:4",
        "opcua.host": ".env line 4",
        "http.port": "environment PLANTREE_HTTP__PORT",
        "log.level": "environment plantree_log__level",
    }


def test_a_dotenv_line_counts_blank_lines_before_it():
    write(".env", "\n\nPLANTREE_HTTP__PORT=2\n")
    assert origins(load())["http.port"] == ".env line 3"


def test_every_setting_can_be_set_from_the_environment(monkeypatch):
    for path, info in leaves():
        default = info.get_default(call_default_factory=True)
        text = json.dumps(default) if isinstance(default, list) else str(default)
        monkeypatch.setenv(settings_layers.variable_name(path), text)
    settings = load()
    assert settings.model_dump() == Settings().model_dump()
    assert all(place.startswith("environment PLANTREE_") for place in origins(settings).values())


def test_the_file_is_the_argument_then_the_variable(monkeypatch):
    write("a.yaml", "http:\n  port: 1\n")
    write("b.yaml", "http:\n  port: 2\n")
    monkeypatch.setenv("PLANTREE_CONFIG", "b.yaml")
    assert load().http.port == 2
    settings = load(Path("a.yaml"))
    assert settings.http.port == 1
    assert origins(settings)["http.port"] == "a.yaml:2"


def test_a_file_that_is_named_must_be_there(monkeypatch):
    assert problems(Path("no.yaml")) == ["no.yaml: cannot be read: No such file or directory"]
    monkeypatch.setenv("PLANTREE_CONFIG", "gone.yaml")
    assert problems() == ["gone.yaml: cannot be read: No such file or directory"]


def test_an_empty_file_section_or_variable_sets_nothing(monkeypatch):
    write("plantree.yaml", "opcua:\n  # port: 1\n")
    monkeypatch.setenv("PLANTREE_HTTP__PORT", "")
    assert load().model_dump() == Settings().model_dump()
    write("plantree.yaml", "# nothing\n")
    assert load().model_dump() == Settings().model_dump()


@pytest.mark.parametrize("text", ["a.xml, b.xml", '["a.xml", "b.xml"]'])
def test_a_list_in_a_variable_is_commas_or_json(monkeypatch, text):
    monkeypatch.setenv("PLANTREE_NODESETS", text)
    assert load().nodesets == [Path("a.xml"), Path("b.xml")]


def test_an_unknown_variable_is_an_error_that_suggests_the_nearest(monkeypatch):
    monkeypatch.setenv("PLANTREE_OPCUA__PROT", "1")
    monkeypatch.setenv("PLANTREE_SHARED", "/somewhere")
    write(".env", "PLANTREE_HTTP_PORT=1\n")
    assert problems() == [
        ".env line 1: PLANTREE_HTTP_PORT: no such setting, did you mean PLANTREE_HTTP__PORT?",
        "environment PLANTREE_OPCUA__PROT: PLANTREE_OPCUA__PROT: no such setting, did you mean PLANTREE_OPCUA__PORT?",
    ]


def test_an_unknown_key_is_an_error_that_suggests_the_nearest():
    write("plantree.yaml", "opcua:\n  port: 1\n  hosst: x\nopuca:\n  port: 2\nxyzzy: 1\n")
    assert problems() == [
        "plantree.yaml:3: opcua.hosst: no such setting, did you mean opcua.host?",
        "plantree.yaml:4: opuca: no such setting",
        "plantree.yaml:6: xyzzy: no such setting",
    ]


def test_a_section_is_no_setting(monkeypatch):
    write("plantree.yaml", "http: 8080\n")
    monkeypatch.setenv("PLANTREE_LOG", "debug")
    assert problems() == [
        "plantree.yaml:1: http: is a section of settings (http.host, http.port, http.public_url), not a setting itself",
        (
            "environment PLANTREE_LOG: PLANTREE_LOG: is a section of settings "
            "(PLANTREE_LOG__LEVEL, PLANTREE_LOG__FORMAT), not a setting itself"
        ),
    ]


def test_every_wrong_value_is_told_with_its_place(monkeypatch):
    write("plantree.yaml", "journal_rows: 3000\nopcua:\n  max_sessions: lots\nnodesets: [a, 5]\n")
    write(".env", "PLANTREE_LOG__LEVEL=loud\n")
    monkeypatch.setenv("PLANTREE_HTTP__PORT", "70000")
    assert problems() == [
        "plantree.yaml:4: nodesets.1: input is not a valid path (it is 5)",
        "plantree.yaml:1: journal_rows: must be a power of two: 2048 or 4096 (it is 3000)",
        (
            "plantree.yaml:3: opcua.max_sessions: input should be a valid integer, "
            "unable to parse string as an integer (it is 'lots')"
        ),
        "environment PLANTREE_HTTP__PORT: http.port: input should be less than or equal to 65535 (it is '70000')",
        ".env line 1: log.level: input should be 'debug', 'info', 'warning' or 'error' (it is 'loud')",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\n b: [\n", "plantree.yaml:2: is not YAML: mapping values are not allowed here"),
        ("- 1\n", "plantree.yaml:1: expected settings, each as `name: value`"),
        ("http:\n  port: 1\n  port: 2\n", "plantree.yaml:3: http.port: already set on line 2"),
        ("data_dir: 2026-02-30\n", "plantree.yaml:1: data_dir: day is out of range for month"),
    ],
)
def test_a_broken_file_is_told_with_its_line(text, sentence):
    write("plantree.yaml", text)
    assert problems() == [sentence]


def test_files_that_cannot_be_read_are_told():
    Path("plantree.yaml").write_bytes(b"data_dir: \xff\n")
    write(".env", "PLANTREE_HTTP__PORT=1\n'unclosed\n")
    assert [line.split(": ")[:2] for line in problems()] == [
        ["plantree.yaml", "cannot be read"],
        [".env line 2", "this is no NAME=value line"],
    ]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_none_is_allowed_on_a_loopback_host(host):
    assert OpcUaSettings(host=host, allow_none=True).allow_none


def test_none_for_other_machines_must_be_forced(monkeypatch):
    monkeypatch.setenv("PLANTREE_OPCUA__ALLOW_NONE", "true")
    assert problems() == [
        (
            "environment PLANTREE_OPCUA__ALLOW_NONE: opcua.allow_none: an unencrypted endpoint on host "
            "0.0.0.0 would be open to other machines: set opcua.host to 127.0.0.1, "
            "or opcua.allow_none_remote to true if that is meant"
        )
    ]
    monkeypatch.setenv("PLANTREE_OPCUA__ALLOW_NONE_REMOTE", "true")
    assert load().opcua.allow_none


def test_silence_turns_bad_after_it_turned_stale():
    write("plantree.yaml", "sources:\n  stale_after: 20\n")
    sentence = "sources.bad_after: bad_after (10 s) must be longer than stale_after (20 s)"
    assert problems() == [f"plantree.yaml:2: {sentence}"]


def test_settings_are_frozen_closed_and_read_nothing_themselves(monkeypatch):
    monkeypatch.setenv("PLANTREE_HTTP__PORT", "1")
    settings = Settings(opcua=OpcUaSettings(port=0))
    assert settings.http.port == 8080
    for section, name in [(settings, "data_dir"), (settings.opcua, "port")]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, name, 1)
    for model in (Settings, HttpSettings):
        with pytest.raises(ValidationError, match="extra_forbidden"):
            model(unknown=1)


def test_every_setting_has_a_description():
    assert [path for path, info in leaves() if not (info.description or "").endswith(".")] == []


def run_cli(*words, settings):
    parser = argparse.ArgumentParser()
    config_cli.register(parser.add_subparsers())
    args = parser.parse_args(["config", *words])
    return args.handler(args, settings)


def test_config_show_tells_values_and_origins(monkeypatch, capsys):
    monkeypatch.setenv("PLANTREE_HTTP__PORT", "3")
    assert run_cli("show", settings=load()) == 0
    rows = [line.rstrip().split(None, 2) for line in capsys.readouterr().out.splitlines()]
    assert ["http.port", "3", "environment PLANTREE_HTTP__PORT"] in rows
    assert len(rows) == 1 + len(list(leaves()))


def test_config_show_json(capsys):
    write("plantree.yaml", "nodesets: [a.xml]\n")
    assert run_cli("show", "--json", settings=load()) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["nodesets"] == {"value": ["a.xml"], "origin": "plantree.yaml:1"}
    assert shown["opcua.allow_none"] == {"value": False, "origin": "default"}


class Secretive(BaseModel):
    token: SecretStr = Field(default=SecretStr("hunter2"), description="A secret.")


def test_secrets_are_shown_by_nothing():
    model = Secretive()
    (path, info), *_ = leaves(Secretive)
    assert settings_load.is_secret(info)
    assert "hunter2" not in config_cli._text(settings_load.value_at(model, path))
    assert "hunter2" not in config_cli._section("x", "", {path: info})
    detail = {"type": "x", "loc": path, "msg": "Is wrong", "input": "hunter2"}
    entry = settings_layers.Entry(path, "token", "hunter2", "here")
    assert settings_load._sentence(detail, {path: entry}, {path: info}) == "here: token: is wrong"


def test_the_committed_reference_is_what_config_docs_writes(folder):
    assert run_cli("docs", str(folder / "new" / "configuration.md"), settings=PlantreeSettings()) == 0
    written = (folder / "new" / "configuration.md").read_text(encoding="utf-8")
    assert written == config_cli.REFERENCE.read_text(encoding="utf-8"), "run: python -m server config docs"
    assert str(tree.CHECKOUT) not in written


def test_the_reference_is_the_same_in_another_process():
    code = "from server import config_cli; import sys; sys.stdout.write(config_cli.reference())"
    for seed in ("1", "2"):
        out = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tree.CHECKOUT,
            env={"PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert out.stdout == config_cli.reference()


class BoxSettings(Section):
    """A section in a section."""

    size: int = Field(default=1, ge=1, description="Size.")
    code: SecretStr = Field(default=SecretStr(""), description="A secret.")


class PeerSettings(Section):
    """A section of the whole."""

    box: BoxSettings = BoxSettings()
    file: Path | None = Field(default=None, description="A file, or none.")
    words: Names = Field(default_factory=list, description="Words.")

    @model_validator(mode="after")
    def _check(self):
        if self.file is not None and self.box.size == 13:
            raise PydanticCustomError("conflict", "13 goes with no file", {"fields": ("box", "file")})
        return self


class WholeSettings(Settings):
    """The whole."""

    peer: PeerSettings = PeerSettings()


def test_a_section_in_a_section_is_read_from_every_place(monkeypatch):
    write("plantree.yaml", "peer:\n  box:\n    size: 3\n  words: [a, b]\n")
    monkeypatch.setenv("PLANTREE_PEER__BOX__CODE", "hunter2")
    monkeypatch.setenv("PLANTREE_PEER__FILE", "x")
    settings = load(model=WholeSettings)
    assert (settings.peer.box.size, settings.peer.words, settings.peer.file) == (3, ["a", "b"], Path("x"))
    assert settings.peer.box.code.get_secret_value() == "hunter2"
    places = origins(settings)
    assert places["peer.box.size"] == "plantree.yaml:3"
    assert places["peer.box.code"] == "environment PLANTREE_PEER__BOX__CODE"
    assert places["http.port"] == "default"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "peer:\n  box:\n    size: 0\n",
            "plantree.yaml:3: peer.box.size: input should be greater than or equal to 1 (it is 0)",
        ),
        (
            "peer:\n  box:\n    sise: 2\n",
            "plantree.yaml:3: peer.box.sise: no such setting, did you mean peer.box.size?",
        ),
        ("peer:\n  box:\n    code: [x]\n", "plantree.yaml:3: peer.box.code: input should be a valid string"),
        (
            "peer:\n  box:\n    size: 13\n  file: x\n",
            "plantree.yaml:3 and plantree.yaml:4: peer.box: 13 goes with no file",
        ),
    ],
)
def test_what_is_wrong_in_a_section_in_a_section_is_told_with_its_line(text, sentence):
    write("plantree.yaml", text)
    with pytest.raises(SettingsError) as caught:
        load(model=WholeSettings)
    assert str(caught.value) == sentence


def test_the_reference_has_sections_in_sections():
    text = config_cli.reference(WholeSettings)
    assert "## `peer.box`\n\nA section in a section.\n" in text
    assert "| `PLANTREE_PEER__BOX__SIZE` | `peer.box.size` | integer from 1 | `1` | Size. |" in text
    assert "| `PLANTREE_PEER__BOX__CODE` | `peer.box.code` | secret | (none) | A secret. |" in text
    assert "| `PLANTREE_PEER__FILE` | `peer.file` | path | (none) | A file, or none. |" in text
    assert "| `PLANTREE_PEER__WORDS` | `peer.words` | list of names | (none) | Words. |" in text


def test_config_show_hides_a_secret_of_a_gateway(monkeypatch, capsys):
    monkeypatch.setenv("PLANTREE_PEER__BOX__CODE", "hunter2")
    for words in (["show"], ["show", "--json"]):
        assert run_cli(*words, settings=load(model=WholeSettings)) == 0
        shown = capsys.readouterr().out
        assert "peer.box.code" in shown
        assert "hunter2" not in shown


def test_a_wrong_setting_of_a_gateway_ends_the_server_with_2(folder):
    write("plantree.yaml", "mqtt:\n  startup: perhaps\n")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tree.CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-m", "server"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    sentence = "input should be 'error', 'retry' or 'ignore' (it is 'perhaps')"
    assert done.stderr == f"error: plantree.yaml:2: mqtt.startup: {sentence}\n"

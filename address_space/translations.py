"""Translations of a plant file, beside it and found by name: `plant.de.yaml` says it in German."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from address_space.errors import PlantError, did_you_mean
from address_space.translation import LANGUAGE, Translation, tag_of
from address_space.vocabulary import NUMBER, Vocabulary
from address_space.yaml_file import YamlFile

Word = Annotated[str, StringConstraints(min_length=1)]

_FOLDER = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")


class TranslationFile(BaseModel):
    """A translation as written; keys are the names and texts of the plant file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: dict[str, Word] = {}
    texts: dict[str, Word] = {}


def load_translations(plant_file: Path, vocabulary: Callable[[], Vocabulary]) -> dict[str, Translation]:
    """Return the server's own words in other languages, and the plant's where there are files for them.

    A language of a region builds on that language. `vocabulary` is asked for only where there are files. Raises
    PlantError for a file that is no translation, and for a key that is nowhere in the plant.
    """
    found, files = dict(server_words()), translation_files(plant_file)
    known = vocabulary() if files else Vocabulary()
    for language in sorted(files, key=len):
        file, below = files[language], _below(language, found)
        raw = _read(file)
        _check(file, raw, known, plant_file)
        names = {**below.names, **raw.names, **_numbered_names(raw, known)}
        found[language] = Translation(language, names, {**below.texts, **raw.texts, **_numbered_texts(raw, known)})
    regional = {language.partition("-")[0] for language in files} - files.keys()
    return {language: words for language, words in found.items() if language not in regional}


def _below(language: str, found: Mapping[str, Translation]) -> Translation:
    """Return what a language says that a file does not: `de-AT` what `de` does."""
    while language and language not in found:
        language = language.rpartition("-")[0]
    return found[language] if language else Translation(language, {}, {})


def translation_files(plant_file: Path) -> dict[str, YamlFile]:
    """Return the translations beside a plant file by language; raises PlantError.

    A file that has the key `plant` is a plant file itself, whatever its name.
    """
    found: dict[str, YamlFile] = {}
    prefix = f"{plant_file.stem}."
    try:
        beside = sorted(plant_file.parent.iterdir())
    except OSError as error:
        raise PlantError(f"{plant_file.parent}: cannot be searched for translations: {error.strerror}") from error
    for path in beside:
        if path == plant_file or path.suffix not in _SUFFIXES or not path.stem.startswith(prefix):
            continue
        word = path.stem.removeprefix(prefix)
        language = tag_of(word.replace("_", "-"))
        if language is None:
            continue
        file = YamlFile(path)
        if isinstance(file.data, dict) and "plant" in file.data:
            continue
        if "_" in word:
            raise file.error((), f"is named like a translation, whose language is written {language}, not {word}")
        if language == LANGUAGE:
            raise file.error((), f"is a translation into {LANGUAGE}, which is the language of {plant_file.name}")
        if language in found:
            raise file.error((), f"is a second translation into {language} beside {found[language].path.name}")
        found[language] = file
    return found


@functools.cache
def server_words() -> Mapping[str, Translation]:
    """Return the translations of what the server says itself, whatever the plant (`server.de.yaml`), by language."""
    found: dict[str, Translation] = {}
    for path in sorted(_FOLDER.glob("server.*.yaml")):
        # our own file, which tests check: no lines are needed for errors, and libyaml reads it ten times as fast
        loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        raw: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  a safe one
        language = path.stem.removeprefix("server.")
        found[language] = Translation(language, raw["names"], raw["texts"])
    return found


def _read(file: YamlFile) -> TranslationFile:
    if file.data is not None and not isinstance(file.data, dict):
        raise file.error((), "a translation is a mapping with the keys names and texts")
    try:
        return TranslationFile.model_validate(file.data or {})
    except ValidationError as error:
        raise file.faults(error, "is no key of a translation, which has names and texts") from error


def _check(file: YamlFile, raw: TranslationFile, vocabulary: Vocabulary, plant_file: Path) -> None:
    own = server_words().values()
    names = {**vocabulary.names, **{name: None for words in own for name in words.names}}
    texts = {**vocabulary.texts, **{text: None for words in own for text in words.texts}}
    faults = [
        str(file.error((part, key), f"is nowhere in {plant_file.name}{did_you_mean(key, known)}"))
        for part, given, known in (("names", raw.names, names), ("texts", raw.texts, texts))
        for key in given
        if key not in known
    ]
    faults += [
        str(file.error((part, key), f"needs {NUMBER} where the number of each object goes"))
        for part, given, many in (("names", raw.names, vocabulary.many), ("texts", raw.texts, vocabulary.numbered))
        for key, word in given.items()
        if key in many and NUMBER not in word
    ]
    if faults:
        raise PlantError("\n".join(faults))


def _numbered_names(raw: TranslationFile, vocabulary: Vocabulary) -> dict[str, str]:
    return {
        name: raw.names[key].replace(NUMBER, str(number))
        for key, names in vocabulary.many.items()
        if key in raw.names
        for number, name in names.items()
        if name not in raw.names
    }


def _numbered_texts(raw: TranslationFile, vocabulary: Vocabulary) -> dict[str, str]:
    return {
        text.replace(NUMBER, str(number)): raw.texts[text].replace(NUMBER, str(number))
        for text, numbers in vocabulary.numbered.items()
        if text in raw.texts
        for number in numbers
    }

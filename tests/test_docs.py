"""The documentation says what the code does: every key and error kind, in both directions."""

import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from msgspec import NODEFAULT, inspect
from msgspec.structs import replace

from proxy.config import RESTART, UNBUILT, Config, decode
from proxy.errors import KINDS
from proxy.settings import Settings

ROOT = Path(__file__).parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
SHIPPED = (ROOT / "config.toml").read_text()
REQUIRED = object()


def rows(text: str) -> dict[str, list[str]]:
    """The table rows that begin with a name in backticks: name to the cells after it."""
    found = re.findall(r"(?m)^\| `([^`]+)` \| (.*) \|$", text)
    names = [name for name, _ in found]
    assert len(names) == len(set(names)), "a name stands in two rows"
    return {name: cells.split(" | ") for name, cells in found}


def section(text: str, title: str) -> str:
    """The part of a page under a heading of the second level."""
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def listed(text: str) -> list[str]:
    """The names in backticks that begin the items of a list."""
    return re.findall(r"(?m)^\* `([^`]+)`", text)


def keys(shape: inspect.Type, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every key of the configuration with its default, as the documentation writes both."""
    match shape:
        case inspect.StructType():
            for field in shape.fields:
                name = f"{path}.{field.name}".lstrip(".")
                if path or not isinstance(field.type, inspect.StructType | inspect.VarTupleType):
                    yield name, REQUIRED if field.required else field.default
                yield from keys(field.type, name)
        case inspect.VarTupleType():
            yield from keys(shape.item_type, f"{path}[]")
        case inspect.UnionType():
            for member in shape.types:
                yield from keys(member, path)


KEYS = dict(keys(inspect.type_info(Settings)))
TEXTS_FOR_DEFAULTS = {"providers[].name": "the slug"}


def said(key: str, default: object) -> str:
    """How the documentation writes a default."""
    if key in TEXTS_FOR_DEFAULTS:
        return TEXTS_FOR_DEFAULTS[key]
    if default is REQUIRED or default == "":
        return "required"
    if default is None or default is NODEFAULT or hasattr(default, "__struct_fields__"):
        return "–"  # noqa: RUF001 - a dash for people
    return f"`{json.dumps(str(default) if isinstance(default, Decimal) else default)}`"


def test_every_key_of_the_configuration_is_documented_and_no_other() -> None:
    assert set(rows(CONFIGURATION)) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_the_documented_default_is_the_default(key: str) -> None:
    kind, default, meaning = rows(CONFIGURATION)[key]
    assert default.startswith(said(key, KEYS[key]))
    assert kind
    assert meaning.endswith(".")


def test_what_needs_a_restart_is_listed() -> None:
    assert listed(section(CONFIGURATION, "Changing it while Weir runs")) == list(RESTART)


def test_what_is_not_supported_yet_is_listed() -> None:
    names = listed(section(CONFIGURATION, "Not supported yet"))
    assert set(names) >= set(UNBUILT)
    assert set(names) <= set(KEYS)
    table = rows(CONFIGURATION)
    assert all("ot supported yet" in table[name][2] for name in names)
    assert {name for name in table if "ot supported yet" in table[name][2]} == set(names)


def load(text: str, environ: Mapping[str, str] = MappingProxyType({})) -> Config:
    return decode(text, environ=environ, read_file=lambda name: "-----BEGIN CERTIFICATE-----")


EXAMPLES = re.findall(r"(?s)```toml\n(.*?)```", CONFIGURATION)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(example: str) -> None:
    assert load(example)


def test_the_shipped_file_runs_as_it_is() -> None:
    config = load(SHIPPED)
    assert replace(config, timeouts_set=frozenset()) == load(""), "it says what holds anyway"
    # These three depend on the model and the provider where they are not set.
    assert not config.timeouts_set & {"first_byte_s", "first_token_s", "between_chunks_s"}


def test_the_examples_of_the_shipped_file_work_when_uncommented() -> None:
    uncommented = re.sub(r"(?m)^#(?=[^ #\n])", "", SHIPPED)
    config = load(uncommented, {"OPENAI_API_KEY": "k"})
    assert [one.provider.slug for one in config.resolved] == ["openai", "ollama", "acme"]
    assert [model.id for model in config.models] == ["acme/large"]
    assert config.models[0].endpoints[0].pricing is not None


def test_every_error_kind_is_documented_as_it_is() -> None:
    documented = {kind: cells[:4] for kind, cells in rows(ERRORS).items()}
    assert documented == {
        kind: [str(row.status), f"`{row.error_type}`", row.source.value, row.retry.value]
        for kind, row in KINDS.items()
    }


def test_every_error_kind_says_what_to_do() -> None:
    assert all(len(cells) == 5 and cells[4].endswith(".") for cells in rows(ERRORS).values())


def test_errors_name_only_keys_that_exist() -> None:
    named = set(re.findall(r"`((?:\w+(?:\[\])?\.)+\w+)`", ERRORS))
    assert named
    assert named <= set(KEYS)

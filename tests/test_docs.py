"""The documentation says what the code does: every key, kind and name, in both directions."""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiohttp
import click
import pytest
import trustme
from msgspec import NODEFAULT, inspect
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from proxy.accounts.pulse import DEAD_LOOKS
from proxy.accounts.refusals import credits_short, key_limit
from proxy.api.inference import PATHS
from proxy.cli import main
from proxy.config import RESTART, Config, decode
from proxy.dialects import INBOUND, OUTBOUND
from proxy.dialects.messages import seals as messages_seals
from proxy.dialects.messages.envelope import envelope as messages_envelope
from proxy.dialects.responses import sealing as responses_sealing
from proxy.dialects.responses.envelope import code as responses_code
from proxy.dialects.tasks import TASKS
from proxy.errors import KINDS, GatewayError
from proxy.metrics import NAMES, Metrics
from proxy.pipeline import bounds, cover, drains, reading
from proxy.providers import known
from proxy.settings import Settings
from proxy.stores import treasury
from proxy.stores.audit import SIDES
from proxy.upstream.fake import FAULTS, MODELS, Scenario
from proxy.wire import tokens
from proxy.wire.listing import PARAMETERS
from proxy.wire.record import Generation
from proxy.wire.request import Task
from tests.running import provider

ROOT = Path(__file__).parent.parent
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ERRORS = (ROOT / "docs" / "errors.md").read_text()
FAKE = (ROOT / "docs" / "fake.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
MONEY = (ROOT / "docs" / "money.md").read_text()
README = (ROOT / "README.md").read_text()
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
    assert set(names) <= set(KEYS)
    table = rows(CONFIGURATION)
    assert all("ot supported yet" in table[name][2] for name in names)
    assert {name for name in table if "ot supported yet" in table[name][2]} == set(names)


CERTIFICATE = trustme.CA().cert_pem.bytes().decode()


def load(text: str, environ: Mapping[str, str] = MappingProxyType({})) -> Config:
    return decode(text, environ=environ, read_file=lambda _: CERTIFICATE)


EXAMPLES = re.findall(r"(?s)```toml\n(.*?)```", CONFIGURATION)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_configuration(example: str) -> None:
    assert load(example)


def test_the_shipped_file_runs_as_it_is() -> None:
    config = load(SHIPPED)
    assert replace(config, timeouts_set=frozenset()) == load(""), "it says what holds anyway"
    # These three depend on the model and the provider where they are not set.
    assert not config.timeouts_set & {"first_byte_s", "first_token_s", "between_chunks_s"}


SETTLED = [key for key, default in KEYS.items() if "[]" not in key and default is not None]
UNSAID = {"limits.url"}  # of which nothing but its default is supported


@pytest.mark.parametrize("key", [key for key in SETTLED if key.count(".") == 1])
def test_the_shipped_file_has_every_key_that_has_a_default(key: str) -> None:
    table, name = key.split(".")
    part = SHIPPED.split(f"\n[{table}]\n")[1].split("\n[")[0]
    assert (re.search(rf"(?m)^#?{name} = ", part) is None) is (key in UNSAID)


def test_the_examples_of_the_shipped_file_work_when_uncommented() -> None:
    uncommented = re.sub(r"(?m)^#(?=[^ #\n])", "", SHIPPED)
    config = load(uncommented, {"OPENAI_API_KEY": "k"})
    assert [one.provider.slug for one in config.resolved] == ["openai", "ollama", "acme"]
    assert [model.id for model in config.models] == ["acme/large"]
    assert config.models[0].endpoints[0].pricing is not None


FORMATS = "In each format"
KINDS_OF_ERRORS = ERRORS.replace(section(ERRORS, FORMATS), "")


def test_every_error_kind_is_documented_as_it_is() -> None:
    documented = {kind: cells[:4] for kind, cells in rows(KINDS_OF_ERRORS).items()}
    assert documented == {
        kind: [str(row.status), f"`{row.error_type}`", row.source.value, row.retry.value]
        for kind, row in KINDS.items()
    }


def test_every_error_kind_says_what_to_do() -> None:
    table = rows(KINDS_OF_ERRORS)
    assert all(len(cells) == 5 and cells[4].endswith(".") for cells in table.values())


def test_the_words_of_each_format_are_those_that_its_clients_get() -> None:
    said = re.findall(r"(?m)^\| `(\w+)` \| `(\w+)` \| (.*) \|$", section(ERRORS, FORMATS))
    table = {(type_, words): re.findall("`(\\w+)`", codes) for type_, words, codes in said}
    errors = [GatewayError(kind, "") for kind in KINDS]
    got: dict[tuple[str, str], set[str]] = {}
    for error in errors:
        words = messages_envelope(error)["error"]["type"]
        got.setdefault((error.error_type, words), set()).add(responses_code(error))
    assert {key: set(codes) for key, codes in table.items()} == got
    slow = GatewayError("body_too_slow", "")
    assert (slow.status, responses_code(slow)) == (408, "server_error")


@pytest.mark.parametrize("name", sorted(INBOUND))
def test_the_forms_of_errors_are_those_of_the_formats(name: str) -> None:
    forms = rows(section(ERRORS, FORMATS).split("\n\n")[0])
    paths = [path for path, format_ in PATHS.items() if format_ == name]
    form = next((one for one in forms if paths[0].startswith(one.strip("…"))), "all others")
    error = GatewayError("provider_cut", "It broke off.", metadata={"provider_name": "Acme"})
    told = json.loads(INBOUND[name].encode_error(error, "gen-1", None))
    if form in ("/messages…", "/responses"):
        named = re.findall(r"[a-z_]{2,}", forms[form][0])
        assert {*told, *told["error"]} <= {*named, "id"}
    else:
        metadata = {"provider_name": "Acme", "error_type": "provider_unavailable"}
        assert told == {"error": {"code": 502, "message": error.message, "metadata": metadata}}


def test_errors_name_only_keys_that_exist() -> None:
    named = set(
        re.findall(r"`(?!(?:metadata|error|provider)\.)((?:\w+(?:\[\])?\.)+\w+)`", KINDS_OF_ERRORS)
    )
    assert named
    assert named <= set(KEYS)


# Money.


def test_who_is_cancelled_after_a_hang_up_is_listed() -> None:
    stops = [one.slug for one in known().values() if one.cancel_stops_billing]
    assert listed(section(MONEY, "Hang-ups, by provider")) == stops


def test_the_kinds_of_transfers_are_those_that_are_audited() -> None:
    table = rows(section(MONEY, "Proving it"))
    assert set(table) == set(SIDES)
    for kind, (source, target, _) in table.items():
        assert any(
            source.strip("`").startswith(debit) and target.strip("`").startswith(credit)
            for debit, credit in SIDES[kind]
        ), kind


def test_the_bounds_of_holds_and_drains_are_those_of_the_code() -> None:
    text = re.sub(r"\s+", " ", MONEY)
    for said in (
        f"at most {drains.DRAIN_S:.0f} seconds and {drains.DRAIN_BYTES_MAX >> 20} MiB each, "
        f"{drains.DRAINS_MAX} at a time in each process",
        f"at most {drains.AT_ONCE_S:.0f} seconds and {reading.ANSWER_BYTES_MAX >> 20} MiB. ",
        f"{tokens.TOKENS_PER_MEDIUM_MAX} for each image, file or recording, and "
        f"{bounds.TOKENS_PER_TOOLS_MAX} where it has tools",
        f"{bounds.START_TOKENS} for each of `n`, doubled while tokens arrive, by "
        f"{cover.STEP_TOKENS_MAX} at most",
        f"at least {bounds.WHOLE_TOKENS}; {bounds.START_TOKENS} where",
        f"within some {treasury.BEAT_S * DEAD_LOOKS:.0f} seconds",
    ):
        assert said in text, said


@pytest.mark.parametrize("page", [MONEY, ERRORS], ids=["money", "errors"])
def test_messages_are_quoted_as_they_are(page: str) -> None:
    short = credits_short(wanted_tokens=65536, affordable_tokens=14114, needed_nano=1).message
    empty = credits_short(wanted_tokens=1, affordable_tokens=0, needed_nano=1).message
    text = re.sub(r"\s+", " ", page).replace("to N tokens", "to 65536 tokens")
    text = text.replace("afford M", "afford 14114")
    for message in (short, empty, key_limit("daily", limit_nano=1).message):
        beginning, _ = re.split(r"\. (?:Add more|Manage)", message)
        assert f"`{beginning}" in text


# Metrics, commands, decisions, links.


def test_every_metric_is_documented_and_no_other() -> None:
    named = {name: cells for name, cells in rows(OPERATIONS).items() if name.startswith("weir_")}
    assert set(named) == set(NAMES)


def test_the_labels_that_are_documented_are_those_it_has() -> None:
    metrics = Metrics()
    row = Generation(id="g", created_at=0.0, prompt_tokens=1, cost_nano=1, latency_ms=1)
    metrics.record(replace(row, cached_tokens=1, saved_nano=1, stayed=True))
    metrics.record(replace(row, saved_nano=-1))
    metrics.attempts["acme", "ok"] += 1
    metrics.refusals["unauthenticated"] += 1
    for family in text_string_to_metric_families(metrics.render({}).decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        has = {label for sample in family.samples for label in sample.labels} - {"le"}
        names = {"model", "provider", "status", "outcome", "kind"}
        assert names & set(re.findall(r"`(\w+)`", rows(OPERATIONS)[name][0])) == has


def commands(group: click.Group, prefix: str = "weir") -> Iterator[tuple[str, click.Command]]:
    """Every command by what a user types."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


COMMANDS = dict(commands(main))


def signature(command: click.Command) -> set[str]:
    """The arguments and options of a command."""
    return {
        option.metavar or str(option.name).upper()
        if isinstance(option, click.Argument)
        else max(option.opts, key=len)
        for option in command.params
    }


def documented_commands() -> dict[str, set[str]]:
    """What the README's table says of each command."""
    found = {}
    for cell in re.findall(r"(?m)^\| (`weir .*?) \| ", section(README, "Commands")):
        for said in re.findall(r"`(weir [^`]*)`", cell):
            words = re.sub(r"[\[\]…]", " ", said.replace("\\|", "|")).split()
            name = max((n for n in COMMANDS if said.startswith(n)), key=len)
            rest = words[len(name.split()) :]
            options = {word for word in rest if word.startswith("--")}
            found[name] = options | {
                word
                for before, word in pairwise(["", *rest])
                if not before.startswith("--") and not word.startswith("--")
            }
    return found


def test_every_command_and_option_is_documented_and_no_other() -> None:
    documented = documented_commands()
    assert set(documented) == set(COMMANDS)
    for name, said in documented.items():
        assert said - {"--config"} == signature(COMMANDS[name]) - {"--config"}, name


def test_all_but_three_take_a_configuration() -> None:
    without = {name for name, command in COMMANDS.items() if "--config" not in signature(command)}
    assert without == {"weir demo", "weir fake", "weir simulate"}


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").iterdir()), ids=str)
def test_a_decision_has_its_parts(page: Path) -> None:
    number = int(page.name[:4])
    text = page.read_text()
    assert text.startswith(f"# {number}. ")
    parts = [text.index(f"**{part}.**") for part in ("Context", "Choice", "Consequence")]
    assert parts == sorted(parts)


def test_decisions_are_numbered_without_gaps() -> None:
    names = sorted(page.name for page in (ROOT / "docs" / "decisions").iterdir())
    assert all(re.fullmatch(r"\d{4}-[a-z-]+\.md", name) for name in names)
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))


PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "bench").glob("*.md")),
]


def headings(page: Path) -> set[str]:
    """The anchors of a page, as forges make them."""
    titles = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"(?s)```.*?```", "", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://", target):
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            assert file.exists(), target
            assert not anchor or anchor in headings(file), target


def test_every_path_that_asks_for_an_answer_is_in_the_readme() -> None:
    said = re.findall(r"`(?:POST )?(/[\w/]+)`", section(README, "What it answers"))
    aliases = {path for path in PATHS if path.startswith("/v1/")}
    assert PATHS.keys() - aliases <= set(said)


# The simulated provider.


def test_every_fault_is_documented_as_it_is() -> None:
    table = {name: cells[0] for name, cells in rows(section(FAKE, "Faults")).items()}
    assert table == FAULTS


def test_every_key_of_a_scenario_is_documented_with_its_default() -> None:
    scenario = dict(keys(inspect.type_info(Scenario)))
    table = {name: cells[0] for name, cells in rows(section(FAKE, "Scenarios")).items()}
    assert table.pop("models") == "the rows above"
    assert set(table) == set(scenario)
    for name, default in table.items():
        assert default == said(name, scenario[name]), name


def test_every_model_of_the_simulated_provider_is_documented() -> None:
    table = rows(section(FAKE, "What it answers"))
    offered = {re.sub("^fault/.*", "fault/<name>", model) for model in MODELS}
    assert set(table) == offered
    assert len(table) == 15


async def test_the_example_scenario_does_what_it_says() -> None:
    (example,) = re.findall(r"(?s)```toml\n(.*?)```", FAKE)
    async with provider(example) as (_, base_url), aiohttp.ClientSession() as session:

        async def ask(model: str) -> tuple[int, str | None, bool]:
            """Status, when to come back, and whether the answer was whole."""
            messages = [{"role": "user", "content": "hello"}]
            body = {"model": model, "messages": messages, "stream": True}
            url = f"{base_url}/chat/completions"
            async with session.post(url, json=body) as response:
                try:
                    text = (await response.read()).decode()
                except aiohttp.ClientError:
                    text = ""
                return response.status, response.headers.get("retry-after"), "[DONE]" in text

        async with session.get(f"{base_url}/models") as response:
            models = [row["id"] for row in (await response.json())["data"]]
        assert models == ["acme/large", "acme/small"]
        large = [await ask("acme/large") for _ in range(3)]
        assert large == [(200, None, False), (200, None, False), (200, None, True)]
        small = [await ask("acme/small") for _ in range(3)]
        assert small == [(200, None, True), (429, "3", False), (429, "3", False)]


# What providers are told.

DIALECTS = (ROOT / "docs" / "dialects.md").read_text()
COLUMNS = ("anthropic", "gemini", "cohere", "bedrock", "responses")
LOSSES = {
    "Anthropic": ("messages.test_request",),
    "Gemini": ("gemini.test_request",),
    "Cohere": ("cohere.test_messages",),
    "Bedrock": ("bedrock.test_request",),
    "Responses": ("responses.test_request", "responses.test_history", "responses.test_turns"),
}
"""Which tests show what a dialect loses."""


def test_every_dialect_is_documented() -> None:
    table = rows(DIALECTS.split("\n## ")[0])
    assert list(table) == ["dialect", *OUTBOUND]


def test_what_each_dialect_does_beside_conversations_is_documented() -> None:
    table = rows(section(DIALECTS, "Beside conversations"))
    tasks: tuple[Task, ...] = ("embeddings", "rerank", "image", "speech", "transcription")
    said = {
        (dialect, task)
        for dialect, cells in table.items()
        for task, cell in zip(tasks, cells, strict=True)
        if cell == "yes"
    }
    assert said == {row for row in TASKS if row[1] in tasks}


def test_the_parameters_are_those_that_a_dialect_has_words_for() -> None:
    table = rows(section(DIALECTS, "Parameters"))
    assert table.keys() >= set(PARAMETERS)
    for place, dialect in enumerate(COLUMNS):
        said = {name for name, cells in table.items() if cells[place] == "yes"}
        assert said == set(OUTBOUND[dialect].expresses or ()), dialect


@pytest.mark.parametrize("dialect", LOSSES)
def test_what_is_lost_is_listed_and_tested(dialect: str) -> None:
    text = section(DIALECTS, "What is lost").split(f"\n### {dialect}\n")[1].split("\n### ")[0]
    said = re.findall(r"(?m)^\* (.+)$", text)
    tested: list[str] = []
    for module in LOSSES[dialect]:
        losses = importlib.import_module(f"tests.dialects.{module}").LOSSES
        rows = losses.items() if isinstance(losses, dict) else [one[:2] for one in losses]
        tested += [value if module.endswith("turns") else name for name, value in rows]
    # One word is a parameter, or a field of a message, which stand in the table above.
    assert said == list(dict.fromkeys(loss for loss in tested if " " in loss))


def test_what_callers_of_messages_lose_is_listed_and_tested() -> None:
    text = section(DIALECTS, "Callers").split("\nOf a Messages request:\n")[1].split("\nOf an ")[0]
    said = re.findall(r"(?m)^\* (.+)$", text)
    losses = importlib.import_module("tests.dialects.messages.test_recall").LOSSES
    kept = {"an empty text", "nothing of what is not known"}
    assert [name for name, *_ in losses if name not in kept] == said[: len(losses) - len(kept)]


def test_what_seals_begin_with_is_what_is_said_of_them() -> None:
    text = section(DIALECTS, "Callers")
    detail = {"type": "reasoning.encrypted", "data": "d", "format": "google-gemini-v1"}
    for seal in (messages_seals.sealed(detail), responses_sealing.sealed([detail])):
        mark = re.match(r"[a-z.]+(?:v1\.|:)", seal)
        assert mark
        assert f"`{mark[0]}`" in text

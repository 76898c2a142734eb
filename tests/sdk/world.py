"""What the scenarios stand on: a client of a gateway before a provider, requests, and what holds
for every answer.
"""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.running import Running, config_text, model_text
from tests.sdk.clients import Client, JSONObject, Outcome
from tests.sdk.dialects import DIALECTS
from tests.sdk.script import ARGUMENTS, ODD, QUESTION
from tests.sdk.upstreams import Upstream

SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "enum": ["Oslo"]},
        "degrees": {"type": "integer"},
        "sky": {"type": "string", "enum": ["clear", "cloudy"]},
    },
    "required": ["city", "degrees", "sky"],
    "additionalProperties": False,
}
RESPONSE_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "weather", "strict": True, "schema": SCHEMA},
}


def tool(name: str) -> JSONObject:
    """A function whose only possible arguments are `ARGUMENTS`."""
    properties = {
        parameter: {"type": "string", "enum": [value]}
        for parameter, value in ARGUMENTS[name].items()
    }
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "strict": True, "parameters": parameters},
    }


TOOLS = [tool(name) for name in ARGUMENTS]


class World(NamedTuple):
    """A client of a gateway before a provider: as it should be, with a key that nobody made, and
    with the other base URL.
    """

    client: Client
    stranger: Client
    elsewhere: Client
    upstream: Upstream

    @classmethod
    def meet(cls, client: type[Client], gateway: Running, upstream: Upstream) -> "World":
        return cls(
            client(gateway.base_url, gateway.key),
            client(gateway.base_url, "sk-or-v1-" + "0" * 64),
            client(f"{gateway.url}/v1", gateway.key),
            upstream,
        )


def config(folder: Path, upstream: Upstream) -> str:
    """Two providers at the same address, so that there is somewhere to fall back to."""

    def model(name: str, *names: str) -> str:
        return model_text(
            f"test/{name}", *[(f"p{number}", theirs) for number, theirs in enumerate(names)]
        )

    dialect = DIALECTS[upstream.dialect]
    lorem = dialect.model("lorem")
    more = (
        model("lorem", lorem)
        + model("reason", dialect.model("reason"))
        + model("slow", dialect.model("slow"))
        + model("limited", "fault/rate-limit", "fault/rate-limit")
        + model("rescued", "fault/rate-limit", lorem)
        + model("too-long", "fault/too-long", lorem)
        + model("refused", "fault/refused", lorem)
        + model("bad-key", "fault/bad-key")
        + model("cut", "fault/cut", lorem)
        + model("cut-head", "fault/cut-head")
        + model("cut-rescued", "fault/cut-head", lorem)
        + model("bad-json", "fault/bad-json")
        + "".join(model_text(name, ("p0", name)) for name in ODD)
    )
    more += '[egress]\nallow = ["127.0.0.1"]\n'
    text = config_text(folder, upstream.base_url, upstream.base_url, more=more)
    row = 'tool_prices = { web_search = "0.01" }\n'  # Codex asks for it in every request
    row += dialect.row(upstream.dialect)
    text = text.replace('author = "test"\n', f'author = "test"\n{row}')
    return text.replace('name = "P0"\n', 'name = "P0"\ncancel_stops_billing = true\n')


def ask(text: str | list[JSONObject] = QUESTION, model: str = "test/lorem", **more: Any) -> Any:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def check(outcome: Outcome, text: str, *, finish_reason: str = "stop", times: int = 1) -> None:
    """What holds for every answer: who it is from, what it says, and that its usage adds up."""
    assert outcome.id.startswith("gen-")
    assert outcome.text == text
    assert outcome.finish_reason == finish_reason
    check_usage(outcome.usage, times)


def check_usage(usage: JSONObject, times: int = 1) -> None:
    """`times` is how much dearer than `tests.running.PRICING` it was."""
    prompt, completion = usage["prompt_tokens"], usage["completion_tokens"]
    assert prompt > 0 < completion
    assert usage["total_tokens"] == prompt + completion
    assert usage["is_byok"] is False
    details = usage["cost_details"]
    asked, said = prompt * 1e-6 * times, completion * 2e-6 * times
    assert details["upstream_inference_prompt_cost"] == pytest.approx(asked)
    assert details["upstream_inference_completions_cost"] == pytest.approx(said)
    assert usage["cost"] == pytest.approx(asked + said)
    assert details["upstream_inference_cost"] == pytest.approx(usage["cost"])

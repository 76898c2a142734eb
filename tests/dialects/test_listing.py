"""Every provider's list of models, recorded or as documented, comes out in one vocabulary."""

from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.listing import ROWS_MAX, decode_listing
from proxy.errors import GatewayError
from proxy.money import PriceOverride, Pricing
from proxy.wire.listing import Listing
from tests.recordings import index, load


def listed(*rows: Any) -> tuple[Listing, ...]:
    return decode_listing(orjson.dumps({"object": "list", "data": list(rows)}))


def one(**row: Any) -> Listing:
    (found,) = listed({"id": "m", **row})
    return found


def price(prompt: str, completion: str, **more: Any) -> Pricing:
    decimals: dict[str, Any] = {
        key: Decimal(value) if isinstance(value, str) else value for key, value in more.items()
    }
    return Pricing(prompt=Decimal(prompt), completion=Decimal(completion), **decimals)


@pytest.fixture(scope="module")
def recorded() -> dict[str, tuple[Listing, ...]]:
    """The lists by provider, where it has several the longest."""
    found: dict[str, tuple[Listing, ...]] = {}
    for row in index():
        if row["api"] != "models" or row["provider"] not in COUNTS:
            continue
        recording = load(row)
        if recording.status == 200:
            rows = decode_listing(recording.body)
            found[row["provider"]] = max(found.get(row["provider"], ()), rows, key=len)
        else:
            with pytest.raises(GatewayError, match="list of models") as caught:
                decode_listing(recording.body)
            assert caught.value.kind == "provider_malformed"
    return found


COUNTS = {
    "openai": 112,  # says nothing but names: all stay, for the names to decide
    "mistral": 55,
    "deepseek": 2,
    "groq": 15,
    "cerebras": 6,
    "perplexity": 39,
    "together": 0,  # recorded is only a refusal
    "openrouter": 12,
}


@pytest.mark.wire
def test_recorded_lists(recorded: dict[str, tuple[Listing, ...]]) -> None:
    counts = {provider: len(recorded.get(provider, ())) for provider in COUNTS}
    assert counts == COUNTS


RECORDED_ROWS = {
    "openai": Listing(model="gpt-4", created=1687882411),
    "deepseek": Listing(model="deepseek-v4-flash"),
    "cerebras": Listing(model="qwen-3-32b"),
    "mistral": Listing(
        model="voxtral-small-latest",
        name="voxtral-small-2507",
        description="A small audio understanding model released in July 2025",
        created=1786983164,
        context_length=32768,
        input_modalities=("text", "audio"),
        output_modalities=("text",),
    ),
    "groq": Listing(
        model="openai/gpt-oss-20b",
        name="GPT OSS 20B",
        context_length=131072,
        max_completion_tokens=65536,
        input_modalities=("text",),
        output_modalities=("text",),
        supported_parameters=(
            *("temperature", "top_p", "stop", "seed", "max_tokens"),
            *("tools", "tool_choice", "response_format", "structured_outputs"),
            *("reasoning", "include_reasoning"),
        ),
        pricing=price(
            "0.000000075", "0.0000003", image="0", input_cache_read="0.0000000375", request="0"
        ),
    ),
    "perplexity": Listing(
        model="anthropic/claude-haiku-4-5",
        pricing=price(
            "0.000001", "0.000005", input_cache_read="0.0000001", input_cache_write="0.00000125"
        ),
    ),
}


@pytest.mark.wire
@pytest.mark.parametrize("provider", RECORDED_ROWS)
def test_a_recorded_row(provider: str, recorded: dict[str, tuple[Listing, ...]]) -> None:
    expected = RECORDED_ROWS[provider]
    assert [row for row in recorded[provider] if row.model == expected.model] == [expected]


@pytest.mark.wire
def test_a_recorded_row_of_openrouter() -> None:
    rows = [
        found
        for row in index()
        if row["api"] == "models" and row["provider"] == "openrouter"
        for found in decode_listing(load(row).body)
        if found.model == "anthropic/claude-sonnet-4"
    ]
    assert rows[0].name == "Anthropic: Claude Sonnet 4"
    assert (rows[0].context_length, rows[0].max_completion_tokens) == (1_000_000, 64_000)
    assert rows[0].input_modalities == ("image", "text", "file")
    assert rows[0].supported_parameters is not None
    assert "tools" in rows[0].supported_parameters
    assert rows[0].pricing == price(
        "0.000003",
        "0.000015",
        web_search="0.01",
        input_cache_read="0.0000003",
        input_cache_write="0.00000375",
        input_cache_write_1h="0.000006",
        overrides=(
            PriceOverride(
                min_prompt_tokens=200_000,
                prompt=Decimal("0.000006"),
                completion=Decimal("0.0000225"),
                input_cache_read=Decimal("0.0000006"),
                input_cache_write=Decimal("0.0000075"),
                input_cache_write_1h=Decimal("0.000012"),
            ),
        ),
    )


# Shapes from the providers' docs: a row, and what is read from it beside the name.
DOCUMENTED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "together": (
        {
            "object": "model",
            "type": "chat",
            "display_name": "Llama 3.3 70B",
            "context_length": 131072,
            "pricing": {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0},
        },
        {
            "name": "Llama 3.3 70B",
            "context_length": 131072,
            "output_modalities": ("text",),
            "pricing": price("0.00000088", "0.00000088"),
        },
    ),
    "fireworks": (
        {
            "owned_by": "fireworks",
            "kind": "HF_BASE_MODEL",
            "supports_chat": True,
            "supports_image_input": False,
            "context_length": 163840,
        },
        {"context_length": 163840, "input_modalities": ("text",), "output_modalities": ("text",)},
    ),
    "deepinfra": (
        {
            "created": 0,
            "metadata": {
                "description": "A model.",
                "context_length": 131072,
                "max_tokens": 16384,
                "pricing": {"input_tokens": 0.04, "output_tokens": 0.1, "cache_read_tokens": 0.02},
                "tags": ["vision", "prompt_cache"],
            },
        },
        {
            "description": "A model.",
            "context_length": 131072,
            "max_completion_tokens": 16384,
            "input_modalities": ("text", "image"),
            "pricing": price("0.00000004", "0.0000001", input_cache_read="0.00000002"),
        },
    ),
    "hugging face": (
        {
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "providers": [
                {"provider": "a", "status": "live", "context_length": 65536},
                {"provider": "b", "status": "live", "context_length": 32768},
                {"provider": "c", "status": "error", "context_length": 1024},
                "odd",
            ],
        },
        {
            "context_length": 32768,
            "input_modalities": ("text",),
            "output_modalities": ("text",),
        },
    ),
    "moonshot": (
        {"context_length": 262144, "supports_image_in": True, "supports_reasoning": True},
        {"context_length": 262144, "input_modalities": ("text", "image")},
    ),
    "vllm": ({"owned_by": "vllm", "max_model_len": 8192, "root": "x"}, {"context_length": 8192}),
    "llama.cpp": (
        {"owned_by": "llamacpp", "meta": {"n_ctx_train": 131072, "n_ctx": 4096}},
        {"context_length": 4096},
    ),
    "llama.cpp before it said n_ctx": (
        {"meta": {"n_ctx_train": 131072}},
        {"context_length": 131072},
    ),
    "lm studio": (
        {
            "type": "vlm",
            "quantization": "4bit",
            "max_context_length": 32768,
            "loaded_context_length": 4096,
        },
        {
            "context_length": 4096,
            "input_modalities": ("text", "image"),
            "output_modalities": ("text",),
        },
    ),
    "lm studio, text only": (
        {"type": "llm"},
        {"input_modalities": ("text",), "output_modalities": ("text",)},
    ),
    "ollama": (
        {"capabilities": ["completion", "vision"]},
        {
            "input_modalities": ("text", "image"),
            "output_modalities": ("text",),
        },
    ),
    "openrouter's wishes": (
        {"quantization": "FP8", "max_output_length": 5, "supported_features": ["tools", "new"]},
        {
            "quantization": "fp8",
            "max_completion_tokens": 5,
            "supported_parameters": ("tools", "tool_choice"),
        },
    ),
    "sampling alone": (
        {"supported_sampling_parameters": ["seed"]},
        {"supported_parameters": ("seed",)},
    ),
    "a time in milliseconds": ({"created": 1_700_000_000_123}, {}),
    "a whole float": ({"created": 1_700_000_000.0}, {"created": 1_700_000_000}),
}


@pytest.mark.parametrize(("row", "fields"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_a_documented_row(row: dict[str, Any], fields: dict[str, Any]) -> None:
    assert one(**row) == Listing(model="m", **fields)


@pytest.mark.parametrize(
    "row",
    [
        {"active": False},
        {"type": "language"},
        {"type": "moderation"},
        {"output_modalities": ["video"]},
        {"id": ""},
        {"id": None},
        {"id": "m" * 257},
        {"id": "a\nb"},
        {"id": " "},
        {"id": 7},
    ],
    ids=str,
)
def test_what_nobody_serves_or_has_no_name_is_left_out(row: dict[str, Any]) -> None:
    assert listed({"id": "m", **row}) == ()


@pytest.mark.parametrize(
    ("row", "outputs"),
    [
        ({}, None),
        ({"type": "embedding"}, ("embeddings",)),
        ({"type": "rerank"}, ("rerank",)),
        ({"type": "audio"}, ("speech",)),
        ({"type": "transcribe"}, ("transcription",)),
        ({"output_modalities": ["transcription"]}, ("transcription",)),
        ({"architecture": {"output_modalities": ["image"]}}, ("image",)),
        ({"capabilities": {"completion_chat": False, "vision": True}}, ()),
        (
            {"capabilities": {"completion_chat": False, "audio_transcription": True}},
            ("transcription",),
        ),
        ({"capabilities": {"completion_chat": True, "audio_speech": True}}, ("text",)),
        ({"capabilities": ["embedding"]}, ()),
        ({"supports_chat": False}, ()),
    ],
    ids=str,
)
def test_what_a_model_puts_out(row: dict[str, Any], outputs: tuple[str, ...] | None) -> None:
    assert one(**row).output_modalities == outputs


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"type": "embedding", "pricing": {"prompt": "0.1"}}, price("0.1", "0")),
        ({"type": "rerank", "pricing": {"input": 1}}, price("0.000001", "0")),
        ({"type": "embedding", "pricing": {"prompt": "0"}}, None),
        ({"type": "embedding", "pricing": {"completion": "0"}}, None),
        ({"type": "image", "pricing": {"prompt": "0.1"}}, None),
        ({"type": "image", "pricing": {"input": 0, "output": 0}}, None),
        ({"type": "image", "pricing": {"prompt": "0", "completion": "1"}}, price("0", "1")),
        ({"type": "speech", "pricing": {"prompt": "0.1"}}, price("0", "0", character="0.1")),
        ({"type": "speech", "pricing": {"prompt": "0"}}, None),
    ],
    ids=str,
)
def test_the_price_of_what_does_not_talk(row: dict[str, Any], expected: Pricing | None) -> None:
    assert one(**row).pricing == expected


def test_what_is_free_by_its_name_costs_nothing() -> None:
    (row,) = listed({"id": "a/e:free", "type": "embedding", "pricing": {"prompt": 0}})
    assert row.pricing == price("0", "0")


@pytest.mark.parametrize(
    ("pricing", "expected"),
    [
        ({"prompt": "0.1", "completion": "0.2", "image": 0.5, "request": 1}, "read"),
        ({"prompt": "-1", "completion": "-1"}, None),
        ({"prompt": "0.1"}, None),
        ({"prompt": "free", "completion": "0"}, None),
        ({"prompt": "NaN", "completion": "0"}, None),
        ({"prompt": "1e999999", "completion": "0"}, None),
        ({"prompt": True, "completion": "0"}, None),
        ({"input": 1, "output": 2, "unit": "usd_per_image"}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
    ids=str,
)
def test_prices(pricing: Any, expected: str | None) -> None:
    read = price("0.1", "0.2", image="0.5", request="1")
    assert one(pricing=pricing).pricing == (read if expected else None)


def test_a_price_is_the_decimal_that_was_written() -> None:
    pricing = one(pricing={"input": 0.1, "output": 0.3}).pricing
    assert pricing == price("0.0000001", "0.0000003")


def test_overrides_are_those_of_long_prompts() -> None:
    odd = [
        {"min_prompt_tokens": 1000, "prompt": "0.2", "completion": "x", "audio": "9"},
        {"min_prompt_tokens": 1000, "utc_start": "16:30", "utc_end": "00:30", "prompt": "0"},
        {"utc_start": "16:30", "prompt": "0"},
        {"min_prompt_tokens": "1000", "prompt": "0"},
        "odd",
    ]
    pricing = one(pricing={"prompt": "0.1", "completion": "0.1", "overrides": odd}).pricing
    override = PriceOverride(min_prompt_tokens=1000, prompt=Decimal("0.2"))
    assert pricing == price("0.1", "0.1", overrides=(override,))
    plain = one(pricing={"prompt": "0.1", "completion": "0.1", "overrides": {}}).pricing
    assert plain == price("0.1", "0.1")


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        ({"input": 1, "output": 2}, price("0.000001", "0.000002")),
        ({"input": 1, "output": 3}, None),
        (None, None),
    ],
)
def test_behind_a_router_a_price_holds_where_all_agree(
    second: Any, expected: Pricing | None
) -> None:
    first = {"status": "live", "pricing": {"input": 1, "output": 2}}
    behind = [first, {"status": "live", "pricing": second}]
    assert one(providers=behind).pricing == expected


@pytest.mark.parametrize("body", [b"[%s]", b'{"data":[%s]}', b'{"models":[%s]}'])
def test_the_three_envelopes(body: bytes) -> None:
    assert decode_listing(body % b'{"id":"a"}') == (Listing(model="a"),)


def test_data_comes_before_models() -> None:
    both = {"models": [{"name": "a.gguf", "model": "a.gguf"}], "data": [{"id": "a"}]}
    assert decode_listing(orjson.dumps(both)) == (Listing(model="a"),)


def test_ollamas_own_names() -> None:
    rows = decode_listing(orjson.dumps({"models": [{"name": "llama3.2:3b", "model": "x"}]}))
    assert [(row.model, row.name) for row in rows] == [("x", "llama3.2:3b")]


def test_bad_rows_are_skipped_and_each_name_is_taken_once() -> None:
    rows = listed(1, None, [], {}, {"id": "a", "created": 1}, {"id": "a"}, {"id": "b"})
    assert rows == (Listing(model="a", created=1), Listing(model="b"))


def test_the_list_is_cut_where_it_is_absurd() -> None:
    rows = listed(*({"id": f"m{number}"} for number in range(ROWS_MAX + 5)))
    assert len(rows) == ROWS_MAX


def test_a_description_is_cut() -> None:
    assert one(description="x" * 5000).description == "x" * 4000
    assert one(description=7).description is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b'{"error":{"message":"no"}}', b'{"data":{}}', b"7", b'"x"', b"[" * 100_000],
    ids=["empty", "html", "error", "object", "number", "string", "deep"],
)
def test_what_is_no_list_is_an_error_of_the_provider(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_listing(body)
    assert caught.value.kind == "provider_malformed"


KEYS = (
    "id name type created pricing providers metadata meta architecture capabilities context_length "
    "output_modalities supported_features tags prompt completion overrides min_prompt_tokens "
    "status input output description"
)
_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5)
) | st.sampled_from(["live", "chat", "0.1", "text"])
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=8)
    ),
    max_leaves=15,
)


@given(st.lists(_JSON, max_size=4))
def test_no_row_is_fatal(rows: list[Any]) -> None:
    found = decode_listing(orjson.dumps({"data": rows}))
    assert len(found) <= len(rows)
    for row in found:
        assert row.model
        assert row.context_length is None or row.context_length > 0
        assert row.pricing is None or (row.pricing.prompt >= 0 and row.pricing.completion >= 0)

"""Slugs are OpenRouter's where it has one, the same for every spelling, and stay what they are."""

import re

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.slugs import may_reason, slug_of
from tests.recordings import index, load

SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*")

SPELLINGS = [
    # OpenAI's dialect at those who made the model.
    ("gpt-4o-2024-08-06", "openai", "openai/gpt-4o-2024-08-06"),
    ("o4-mini", "openai", "openai/o4-mini"),
    ("ft:gpt-4o-mini:acme::A1", "openai", "openai/ft-gpt-4o-mini-acme-a1"),
    ("mistral-small-2603", "mistralai", "mistralai/mistral-small-2603"),
    ("grok-4.3", "x-ai", "x-ai/grok-4.3"),
    ("deepseek-chat", "deepseek", "deepseek/deepseek-chat"),
    ("GLM-4.6", "z-ai", "z-ai/glm-4.6"),
    ("kimi-k3", "moonshotai", "moonshotai/kimi-k3"),
    ("muse-spark-1.3", "meta", "meta/muse-spark-1.3"),
    ("sonar-pro", "perplexity", "perplexity/sonar-pro"),
    ("claude-sonnet-4-5", "anthropic", "anthropic/claude-sonnet-4.5"),
    ("claude-sonnet-4-20250514", "anthropic", "anthropic/claude-sonnet-4"),
    ("claude-3-5-haiku-20241022", "anthropic", "anthropic/claude-3.5-haiku"),
    # At those who host it.
    ("llama-3.3-70b-versatile", "groq", "meta-llama/llama-3.3-70b-versatile"),
    ("moonshotai/kimi-k2-instruct", "groq", "moonshotai/kimi-k2-instruct"),
    ("groq/compound-mini", "groq", "groq/compound-mini"),
    ("zai-glm-4.7", "cerebras", "z-ai/glm-4.7"),
    ("qwen-3-32b", "cerebras", "qwen/qwen3-32b"),
    ("llama3.1-8b", "cerebras", "meta-llama/llama-3.1-8b"),
    ("accounts/fireworks/models/deepseek-v3p2", "fireworks", "deepseek/deepseek-v3.2"),
    ("accounts/fireworks/models/glm-4p7", "fireworks", "z-ai/glm-4.7"),
    ("accounts/fireworks/routers/kimi-k2p6-fast", "fireworks", "moonshotai/kimi-k2.6-fast"),
    ("accounts/acme/models/tuned-1p5", "fireworks", "acme/tuned-1p5"),
    ("meta-llama/Llama-3.3-70B-Instruct", "together", "meta-llama/llama-3.3-70b-instruct"),
    ("meta-llama/Meta-Llama-3.1-8B-Instruct", "deepinfra", "meta-llama/llama-3.1-8b-instruct"),
    ("meta-models/Muse-Glimmer-30B", "together", "meta/muse-glimmer-30b"),
    ("meta/llama-3.3-70b-instruct", "nvidia", "meta-llama/llama-3.3-70b-instruct"),
    ("nv-mistralai/mistral-nemo-12b-instruct", "nvidia", "mistralai/mistral-nemo-12b-instruct"),
    ("Qwen/Qwen3-32B", "huggingface", "qwen/qwen3-32b"),
    ("deepseek-ai/DeepSeek-V3.2", "huggingface", "deepseek/deepseek-v3.2"),
    ("zai-org/GLM-4.6", "huggingface", "z-ai/glm-4.6"),
    ("MiniMaxAI/MiniMax-M2", "huggingface", "minimax/minimax-m2"),
    ("xai/grok-4.3", "perplexity", "x-ai/grok-4.3"),
    ("models/gemini-2.5-flash", "google", "google/gemini-2.5-flash"),
    ("google.gemma-3-4b-it", "amazon", "google/gemma-3-4b-it"),
    ("zai.glm-4.7", "amazon", "z-ai/glm-4.7"),
    # On the operator's machines.
    ("llama3.2:3b", "ollama", "meta-llama/llama-3.2-3b"),
    ("qwen3:latest", "ollama", "qwen/qwen3"),
    ("gpt-oss:20b", "ollama", "openai/gpt-oss-20b"),
    ("my-own:7b", "ollama", "ollama/my-own-7b"),
    ("hf.co/bartowski/Llama-3.2-3B-GGUF:Q4_K_M", "ollama", "meta-llama/llama-3.2-3b-gguf-q4_k_m"),
    ("/data/models/Qwen3-8B.gguf", "llamacpp", "qwen/qwen3-8b"),
    ("../models/tuned.gguf", "llamacpp", "llamacpp/tuned"),
    ("C:\\models\\tuned.gguf", "llamacpp", "llamacpp/tuned"),
    ("lmstudio-community/tuned", "lmstudio", "lmstudio-community/tuned"),
    ("acme/models/tuned", "vllm", "acme/models-tuned"),
    ("模型:7b", "vllm", "vllm/e6a8a1e59e8b-7b"),
    ("\udce9", "vllm", "vllm/edb3a9"),
    ("llama3.1-typhoon2-8b", "scb10x", "meta-llama/llama-3.1-typhoon2-8b"),
    ("scb10x/llama3.1-typhoon2-8b", "vllm", "scb10x/llama3.1-typhoon2-8b"),
    # Names that are none.
    ("", "vllm", "vllm/unnamed"),
    ("///", "vllm", "vllm/unnamed"),
    ("x", "---", "unknown/x"),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock", "anthropic/claude-sonnet-4.5"),
    ("claude-sonnet-4-5@20250929", "vertex", "anthropic/claude-sonnet-4.5"),
    ("claude-3-5-sonnet-20240620", "anthropic", "anthropic/claude-3.5-sonnet-20240620"),
    ("claude-3-5-sonnet-20241022", "anthropic", "anthropic/claude-3.5-sonnet"),
    ("anthropic.claude-3-haiku-20240307-v1:0", "bedrock", "anthropic/claude-3-haiku"),
    ("amazon.nova-pro-v1:0", "bedrock", "amazon/nova-pro-v1"),
    ("us.meta.llama3-1-70b-instruct-v1:0", "bedrock", "meta-llama/llama-3.1-70b-instruct"),
    ("openai.gpt-oss-120b-1:0", "bedrock", "openai/gpt-oss-120b"),
    ("mistral.mistral-7b-instruct-v0:2", "bedrock", "mistralai/mistral-7b-instruct-v0.2"),
    ("global.zai.glm-5.3", "bedrock", "z-ai/glm-5.3"),
    (
        "arn:aws:bedrock:us-east-1:1:inference-profile/eu.anthropic.claude-opus-4-1-v1:0",
        "bedrock",
        "anthropic/claude-opus-4.1",
    ),
]


@pytest.mark.parametrize(("model", "author", "slug"), SPELLINGS)
def test_a_name_becomes_its_slug(model: str, author: str, slug: str) -> None:
    assert slug_of(model, author=author) == slug


def test_openrouter_has_these_slugs_and_they_stay_what_they_are() -> None:
    from genai_prices.data_snapshot import get_snapshot

    table = next(one for one in get_snapshot().providers if one.id == "openrouter")
    known = [row.id for row in table.models if SLUG.fullmatch(row.id)]
    assert len(known) > 400
    # The one slug under an author that OpenRouter itself has renamed since.
    assert [one for one in known if slug_of(one, author="x") != one] == ["mistral/ministral-8b"]


@pytest.mark.wire
def test_every_recorded_name_has_a_slug_of_its_own() -> None:
    shared: dict[str, set[str]] = {}
    count = 0
    for row in index():
        if row["api"] != "models" or row["status"] != 200:
            continue
        listed = orjson.loads(load(row).body)
        for entry in listed.get("data") or listed.get("models") or ():
            name = entry.get("id") or entry["name"]
            slug = slug_of(name, author=row["provider"])
            assert SLUG.fullmatch(slug), name
            assert slug_of(slug, author="another") == slug
            shared.setdefault(f"{row['provider']} {slug}", set()).add(name)
            count += 1
    assert count > 250
    # Mistral's list gives one model under both names.
    assert [names for names in shared.values() if len(names) > 1] == [{"glm-5-2", "zai-glm-5-2"}]


PIECES = (
    "models/ accounts/ fireworks/ hf.co/ unsloth/ meta/ xai/ zai. : :latest .gguf / \\ ../ c:/ . "
    "- _ p 3 4-5 llama llama3 meta-llama- qwen-3- zai-glm claude-3-5- é A 7b"
)


@given(
    st.lists(st.sampled_from(PIECES.split()), max_size=8).map("".join) | st.text(max_size=40),
    st.sampled_from(["vllm", "x-ai", "mistral"]),
)
def test_every_text_has_a_slug_that_is_its_own_slug(model: str, author: str) -> None:
    slug = slug_of(model, author=author)
    assert SLUG.fullmatch(slug)
    assert slug_of(slug, author="another") == slug


THINKS = (
    "o1 o3-mini openai/o4-mini gpt-5.1 gpt-oss-120b deepseek-reasoner deepseek-r1 deepseek-v4-pro "
    "deepseek/deepseek-r1-0528 qwen/qwq-32b qwen3-max-thinking olmo-3-32b-think magistral-small "
    "grok-4.3 grok-4-fast-reasoning sonar-reasoning-pro sonar-deep-research glm-4.6 glm-5 "
    "kimi-k2.5 kimi-k3 minimax-m2 gemini-2.5-pro muse-spark-1.3"
)
ANSWERS = (
    "gpt-4o gpt-4.1 grok-4-1-fast-non-reasoning gpt-5-chat gpt-5-chat-latest llama-3.3-70b glm-4 "
    "kimi-k2-instruct foo1 deepseek-chat mistral-large qwen3-235b-a22b-instruct-2507 "
    "gemini-2.0-flash"
)


@pytest.mark.parametrize("name", THINKS.split())
def test_may_reason(name: str) -> None:
    assert may_reason(name)


@pytest.mark.parametrize("name", ANSWERS.split())
def test_may_not_reason(name: str) -> None:
    assert not may_reason(name)

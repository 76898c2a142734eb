"""What a model is called: from a provider's own name for it to a slug `author/name`, by rules.

Ten providers have ten spellings for one open model; the tables below bring them to the one that
OpenRouter uses, so that one model has several endpoints. They never join two models into one: a
date, a size or a variant stays in the name, but for Claude's dates, which tell none apart. A
spelling nobody thought of still gives a slug, only not a shared one.
"""

import re
from functools import lru_cache
from typing import Final

_PLACES: Final = (
    (re.compile(r"^accounts/fireworks/(?:models|routers)/"), ""),
    (re.compile(r"^accounts/([^/]+)/[a-z]+/"), r"\1/"),
    (re.compile(r"^models/"), ""),
    (re.compile(r"^(?:hf\.co|huggingface\.co)/"), ""),
    # A server that was given a file calls the model by its path: `../models/qwen3-8b.gguf`.
    (re.compile(r"^(?:[a-z]:)?[./~\\].*[/\\]"), ""),
    (re.compile(r"\.gguf$"), ""),
    # Bedrock: the kind of an ARN, the regions of a profile, the version of a name.
    (re.compile(r"^arn:aws[^/]*/"), ""),
    (re.compile(r"^(?:af|apac|au|ca|eu|global|il|jp|me|sa|us|us-gov)\.(?=[a-z0-9]+\.)"), ""),
    (re.compile(r"^(amazon\..*):0$"), r"\1"),
    (re.compile(r"(?<=-v0):(?=\d$)"), "."),
    (re.compile(r"(?<=[a-z0-9])(?:-v?\d+)?:0$"), ""),
    (re.compile(r":latest$"), ""),
)
"""What says where a model lives, not what it is."""

_AUTHORS: Final = {
    "ai21labs": "ai21",
    "bytedance-seed-foundation": "bytedance-seed",
    "cohereforai": "cohere",
    "coherelabs": "cohere",
    "deepseek-ai": "deepseek",
    "liquidai": "liquid",
    "meta-models": "meta",
    "minimaxai": "minimax",
    "mistral": "mistralai",
    "mistral-ai": "mistralai",
    "moonshot": "moonshotai",
    "nv-mistralai": "mistralai",
    "primeintellect": "prime-intellect",
    "stepfun-ai": "stepfun",
    "xai": "x-ai",
    "xai-org": "x-ai",
    "xiaomimimo": "xiaomi",
    "zai": "z-ai",
    "zai-org": "z-ai",
    "zhipuai": "z-ai",
}
"""Authors under another name than OpenRouter's."""

_PACKAGERS: Final = frozenset(
    ("bartowski", "ggml-org", "lmstudio-community", "mlx-community", "thebloke", "unsloth")
)
"""Accounts that convert the models of others: the name tells the author, where it does."""

_FAMILIES: Final = tuple(
    (re.compile(pattern), author)
    for pattern, author in (
        (r"(?:ft-)?(?:gpt-|chatgpt-|o[1-9](?:-|$)|codex-|computer-use|davinci|babbage)", "openai"),
        (r"claude-", "anthropic"),
        (r"gemini|gemma|codegemma|medgemma|shieldgemma|lyria|palm-2", "google"),
        (r"muse-", "meta"),
        (r"(?:nvidia-)?nemotron|(?:llama|mistral).*-nemotron", "nvidia"),
        (r"llama-3\.1-sonar|sonar|pplx-|r1-1776", "perplexity"),
        (r"deepseek", "deepseek"),
        (r"(?:meta-)?llama|codellama", "meta-llama"),
        (r"(?:labs-)?(?:mi|code|dev|magi|mini|lean)stral|(?:open-)?mi[sx]tral", "mistralai"),
        (r"open-mistral|pixtral|voxtral|mathstral|mamba-codestral", "mistralai"),
        (r"qwen|qwq|qvq|codeqwen", "qwen"),
        (r"(?:zai-)?glm|codegeex|chatglm", "z-ai"),
        (r"kimi|moonshot|moonlight", "moonshotai"),
        (r"grok", "x-ai"),
        (r"command|c4ai|aya-", "cohere"),
        (r"phi-?[1-9]|wizardlm|mai-", "microsoft"),
        (r"granite", "ibm-granite"),
        (r"minimax|abab", "minimax"),
        (r"nova-", "amazon"),
        (r"jamba", "ai21"),
        (r"(?:nous-)?hermes|deephermes", "nousresearch"),
        (r"ernie", "baidu"),
        (r"hunyuan|hy[0-9]|hy-", "tencent"),
        (r"seed-", "bytedance-seed"),
        (r"step-?[0-9]", "stepfun"),
        (r"mimo", "xiaomi"),
        (r"(?:ling|ring)-", "inclusionai"),
        (r"olmo|tulu|molmo", "allenai"),
        (r"lfm", "liquid"),
        (r"dolphin", "cognitivecomputations"),
        (r"palmyra", "writer"),
        (r"yi-", "01-ai"),
        (r"intellect-", "prime-intellect"),
        (r"inkling", "thinkingmachines"),
        (r"mercury", "inception"),
        (r"solar-", "upstage"),
        (r"reka-", "rekaai"),
        (r"longcat", "meituan"),
        (r"trinity-", "arcee-ai"),
        (r"kat-", "kwaipilot"),
    )
)
"""How names of a family begin, first rule first, and who wrote it."""

_SPELLINGS: Final = tuple(
    (re.compile(pattern), instead)
    for pattern, instead in (
        (r"^meta-llama-", "llama-"),
        (r"^llama([34])(?=[.-])", r"llama-\1"),
        (r"^qwen-3(?=[.-])", "qwen3"),
        (r"^zai-glm", "glm"),
        (r"^llama-(\d)-(\d)(?=-)", r"llama-\1.\2"),  # Bedrock's llama3-1-70b
        (r"^(claude-[a-z]+-\d)-(\d)(?=-|$)", r"\1.\2"),  # claude-sonnet-4-5
        (r"^claude-(\d)-(\d)(?=-)", r"claude-\1.\2"),  # claude-3-5-haiku
        # No two models differ by it alone, but for this one and its successor.
        (r"^(?!claude-3\.5-sonnet-20240620)(claude-.+)-20\d{6}$", r"\1"),
    )
)
"""Spellings of one and the same name."""

# Bedrock's gateway and others join author and name with a dot.
_DOTTED: Final = re.compile(
    "^({})\\.(?=[a-z])".format(
        "|".join(sorted({re.escape(a) for _, a in _FAMILIES} | {re.escape(a) for a in _AUTHORS}))
    )
)
_FIREWORKS_POINT: Final = re.compile(r"(?<=\d)p(?=\d)")  # deepseek-v3p2
_FOREIGN: Final = re.compile(r"[^\x00-\x7f]+")
_UNFIT: Final = re.compile(r"[^a-z0-9._]+")
_EDGES: Final = "-._"

_REASONS: Final = re.compile(
    r"(?<![a-z0-9])(?:o[1-9](?![a-z0-9])|r1(?![a-z0-9])|gpt-5|gpt-oss|qwq|magistral|deep-research"
    r"|grok-[4-9]|glm-[5-9]|glm-4\.[5-9]|kimi-k[3-9]|kimi-k2\.[5-9]|deepseek-v[4-9]|minimax-m[1-9]"
    r"|gemini-(?:2\.5|[3-9])|muse-)|reasoning|reasoner|thinking|-think(?![a-z])"
)
_ANSWERS: Final = re.compile(r"non-reasoning|-chat(?![a-z])|-instruct(?![a-z])")


@lru_cache(maxsize=16_384)  # a catalogue is rebuilt whole when one provider's list changes
def slug_of(model: str, *, author: str) -> str:
    """The slug `author/name` of what a provider calls `model`.

    `author` is whom to name where neither the name nor the tables tell. The slug is lower case and
    fits a path of a URL; the slug of a slug is itself.
    """
    slug = _step(model, author)
    while (again := _step(slug, author)) != slug:
        slug = again
    return slug


def may_reason(model: str) -> bool:
    """Whether a model of this name is known to think before it answers; a guess as well."""
    name = model.lower()
    return _REASONS.search(name) is not None and _ANSWERS.search(name) is None


def _step(model: str, author: str) -> str:
    name = model.strip().lower()
    fireworks = name.startswith("accounts/fireworks/")
    for pattern, instead in _PLACES:
        name = pattern.sub(instead, name)
    owner, slash, rest = name.partition("/")
    if not slash and (dotted := _DOTTED.match(name)):
        owner, slash, rest = dotted[1], "/", name[dotted.end() :]
    name = _clean(rest if slash else name)
    if fireworks:
        name = _FIREWORKS_POINT.sub(".", name)
    family = _family(name)
    owner = _AUTHORS.get(_clean(owner), _clean(owner)) if slash else ""
    if not owner or owner in _PACKAGERS:
        owner = family or owner or _AUTHORS.get(_clean(author), _clean(author))
    elif owner == "meta" and family == "meta-llama":
        owner = family  # two authors at OpenRouter, one at NVIDIA
    if owner == family:
        for spelling, instead in _SPELLINGS:
            name = spelling.sub(instead, name)
    return f"{owner or 'unknown'}/{name or 'unnamed'}"


def _clean(text: str) -> str:
    """`text` in the alphabet of slugs; what is foreign to it stays distinct, as hexadecimal."""
    plain = _FOREIGN.sub(lambda run: run[0].encode("utf-8", "surrogatepass").hex(), text)
    return _UNFIT.sub("-", plain).strip(_EDGES)


def _family(name: str) -> str | None:
    return next((author for pattern, author in _FAMILIES if pattern.match(name)), None)

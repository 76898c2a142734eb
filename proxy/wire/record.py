"""What is kept of a finished request: the generation row, without prompt or answer.

Nothing of it can be part of a cycle, so the collector of cycles need not look at it (`gc`).
"""

import msgspec


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One attempt at one endpoint. `status` is the provider's, None where it never answered.
    `error` is None for the attempt that answered, else a kind of `proxy.errors.KINDS` or one of
    three words for what was no fault: "lost", another attempt was faster; "hung_up", the caller was
    gone; "drained", the same, and it was heard out for its usage. `latency_ms` is from its
    beginning to its end, of a drained one to the hang-up. `dropped` are the request's parameters
    that it was not sent, because the endpoint does not support them.
    """

    provider: str
    provider_name: str
    model: str
    status: int | None
    latency_ms: int
    error: str | None = None
    began_ms: int = 0  # after the request's beginning
    hedge: bool = False  # it raced another attempt that was under way
    dropped: tuple[str, ...] = ()


class Candidate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An endpoint that the plan looked at, in the order in which it would be tried. `standing` is
    the word of `routing.health` for how it was doing; `price_nano` is what a million prompt tokens
    and a million completion tokens cost there together, None where nobody knows. `excluded` says in
    words why it was not to be tried, None where it was; `by` is what excluded it, in OpenRouter's
    words where it has one for it. `rule` says in words how it was put in order, None where that was
    the default; `measured` what was known of it that this goes by, None where nothing is measured
    for it.
    """

    provider: str
    model: str
    standing: str = "well"
    price_nano: int | None = None
    excluded: str | None = None
    by: str | None = None
    rule: str | None = None
    measured: str | None = None


class Generation(msgspec.Struct, frozen=True, gc=False):
    """One finished request. Times are seconds since 1970 or milliseconds, as named; tokens are in
    OpenRouter's counting. `cost_nano` is what the caller is charged, None where the endpoint has no
    price; `upstream_nano` the same without the margin; `house_nano` what the house bears: what the
    hold did not cover, and losers of a race. `held_nano` is the largest hold it had, `waited_ms`
    how long it waited for credit or a limit. `recovered` marks what was settled after its process
    died. `task` and `words` are the request's; images made, search units, characters and
    milliseconds of audio are what is not counted in tokens. `requested_model` is the caller's own
    word; `arm` the model that it was given of an alias whose traffic is split, `preset` the slug of
    the one it used, `choice` why a router chose its model, in words. `stayed` says that it was sent
    where its conversation's prompt was cached, `saved_nano` what cached tokens cost less than
    uncached ones would have, what was paid for the caching taken off.
    """

    id: str
    created_at: float
    key_hash: str | None = None
    account: str = "default"
    model: str = ""
    requested_model: str = ""
    provider: str = ""
    provider_name: str = ""
    endpoint_model: str = ""
    upstream_id: str | None = None
    streamed: bool = False
    cancelled: bool = False
    status: int = 200
    error: str | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    latency_ms: int | None = None
    generation_time_ms: int | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    image_tokens: int = 0
    usage_estimated: bool = False
    cost_nano: int | None = 0
    service_tier: str | None = None
    media_prompt: int = 0
    audio_prompt: int = 0
    session_id: str | None = None
    http_referer: str | None = None
    title: str | None = None
    user_agent: str | None = None
    attempts: tuple[Try, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    upstream_nano: int | None = 0
    house_nano: int = 0
    held_nano: int = 0
    waited_ms: int = 0
    recovered: bool = False
    task: str = "chat"
    words: str = "chat"
    images: int = 0
    search_units: int = 0
    characters: int = 0
    audio_ms: int = 0
    arm: str | None = None
    preset: str | None = None
    choice: str | None = None
    stayed: bool = False
    saved_nano: int = 0

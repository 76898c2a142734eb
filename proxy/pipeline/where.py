"""Where to: the plan of a request, from all that is known of it and of the endpoints.

A conversation is asked first where its prompt is cached (contract, section 4, item 14), if this is
likely to cost less than to go where the plan would: `routing.warmth` remembers and compares. It is
so whatever the order, also where the caller sorts; only who names an order gets that.
"""

from collections.abc import Callable, Hashable
from typing import Final

from proxy.dialects import hosted
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline.admit import account_of
from proxy.pipeline.exchange import Exchange
from proxy.routing.health import Pool
from proxy.routing.plan import Plan, plan
from proxy.routing.routers import routed
from proxy.routing.trials import assigned
from proxy.routing.warmth import Warm, Warmth, caches, opening, worth
from proxy.wire.request import Ask
from proxy.wire.tokens import likely_tokens

MODELS_MAX: Final = 64
"""Names in a request: each has endpoints that are looked at before anybody is asked."""

MOVED_MAX: Final = 256
"""Of so many plans it is kept what they are with another attempt first."""


class Where:
    """Plans requests. `clock` is the pool's, `rng` uniform in [0, 1)."""

    def __init__(self, pool: Pool, clock: Callable[[], float], rng: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._rng = rng
        self._warmth = Warmth()
        self._moved: dict[tuple[int, int], tuple[Plan, Plan]] = {}

    def plan(self, exchange: Exchange, ask: Ask) -> Plan:
        """What is tried for `ask`, in which order. Raises GatewayError as `routing.plan`."""
        exchange.requested = ask.models[0]
        if len(ask.models) > MODELS_MAX:
            raise GatewayError("invalid_request", f"models: at most {MODELS_MAX} names")
        catalogue, enforce = exchange.snapshot.catalogue, exchange.snapshot.enforce
        now = self._clock()
        if catalogue.aliases:
            key, session = exchange.key, exchange.origin.get("session_id")
            known = None if key is None else key.hash
            ask, exchange.arm = assigned(
                ask, catalogue.aliases, session=session, key=known, rng=self._rng
            )
        ask, exchange.choice = routed(
            ask, catalogue, pool=self._pool, now=now, rng=self._rng, priced_only=enforce
        )
        drawn = plan(
            ask,
            catalogue,
            pool=self._pool,
            now=now,
            rng=self._rng,
            priced_only=enforce,
            tools=(lambda one: hosted(one.provider, one.model, ask)) if ask.hosted else None,
        )
        if len(drawn.attempts) > 1 and ask.task == "chat" and not ask.preferences.order:
            return self._stay(exchange, ask, drawn, now)
        return drawn

    def answered(self, exchange: Exchange) -> None:
        """Learns from a request that went well where its conversation is warm now. What another
        model answered in the place of its first says nothing of that one.
        """
        key, drawn, endpoint = exchange.conversation, exchange.plan, exchange.endpoint
        usage = exchange.usage
        if key is None or drawn is None or endpoint is None or usage is None:
            return
        if exchange.model is drawn.attempts[0][0] and caches(endpoint.pricing):
            id, named = (endpoint.tag, endpoint.model), _session(exchange) is not None
            account, now = account_of(exchange), self._clock()
            self._warmth.learn(key, id, usage, now, named=named, account=account)

    def _stay(self, exchange: Exchange, ask: Ask, drawn: Plan, now: float) -> Plan:
        """`drawn`, or the same with the endpoint first where the conversation is warm."""
        if not _cached_somewhere(drawn):
            return drawn
        exchange.conversation = key = _conversation(exchange, ask, drawn.attempts[0][0].id)
        warm = self._warmth.where(key, now)
        at = None if warm is None else _place(warm, drawn)
        if warm is None or at is None or not self._worth(warm, drawn, at, ask, now=now):
            return drawn
        exchange.stayed = True
        return self._first(drawn, at) if at else drawn

    def _first(self, drawn: Plan, at: int) -> Plan:
        """`drawn` with the attempt there before all others: the same object each time, as is that
        one, for more is kept of a plan (`bounds.terms_of`).
        """
        known = self._moved.get((id(drawn), at))
        if known is None:
            if len(self._moved) >= MOVED_MAX:
                self._moved.clear()
            known = drawn, _moved(drawn, at)  # which is held, so that no other can get its id
            self._moved[id(drawn), at] = known
        return known[1]

    def _worth(self, warm: Warm, drawn: Plan, at: int, ask: Ask, *, now: float) -> bool:
        """Whether it is well there, no worse than is wished, and likely to cost no more."""
        here, first = drawn.attempts[at][1], drawn.attempts[0][1]
        word, _, load = self._pool.look(warm.endpoint, now)
        pricing = here.pricing
        if word != "well" or load >= 1.0 or pricing is None or not caches(pricing):
            return False
        if at == 0:
            return True
        if here.tier != first.tier or at >= drawn.good:
            return False
        there = _elsewhere(drawn, at)
        tokens = likely_tokens(ask.text_bytes)
        return there is None or worth(warm, pricing, there, prompt_tokens=tokens, now=now)


def _cached_somewhere(drawn: Plan) -> bool:
    """Whether the plan's first model has several endpoints, and the cache of one is worth it."""
    model = drawn.attempts[0][0]
    own = [endpoint.pricing for other, endpoint in drawn.attempts if other is model]
    return len(own) > 1 and any(map(caches, own))


def _conversation(exchange: Exchange, ask: Ask, model: str) -> int:
    """A key that holds within this process, as hashes of texts do: others can not guess it."""
    thread: Hashable = _session(exchange)
    if thread is None:
        key = ask.body.get("prompt_cache_key")
        named = isinstance(key, str) and key
        thread = ("key", key) if named else opening(ask.body.get("messages") or ())
    return hash((account_of(exchange), model, thread))


def _session(exchange: Exchange) -> str | None:
    """What the caller calls its conversation; the body's word counts before the head's."""
    ask = exchange.ask
    return (ask.session_id if ask else None) or exchange.origin.get("session_id") or None


def _place(warm: Warm, drawn: Plan) -> int | None:
    """Which attempt of the first model is where the conversation is warm."""
    model, id = drawn.attempts[0][0], warm.endpoint
    for at, (other, one) in enumerate(drawn.attempts):
        if one.tag == id[0] and one.model == id[1] and other is model:
            return at
    return None


def _elsewhere(drawn: Plan, at: int) -> Pricing | None:
    """The prices of who would be asked in the place of the one there: the first that is well."""
    for other, (_, endpoint) in enumerate(drawn.attempts):
        if other != at and drawn.candidates[other].standing == "well":
            return endpoint.pricing
    return None


def _moved(drawn: Plan, at: int) -> Plan:
    """Another plan, as that one is kept for other requests: the attempt there goes first."""
    one, two = drawn.attempts, drawn.candidates
    return Plan(
        (one[at], *one[:at], *one[at + 1 :]),
        (two[at], *two[:at], *two[at + 1 :]),
        drawn.good,
    )

"""The best buy for a request: every model that can do it has a score, and the highest is asked.

A model can do a request if it chats, reads what it is shown, has the tools and the format of
answers that are asked for, holds the prompt, and obeys the `provider` wishes. Where some are known
to reason, a wish for reasoning is for these alone.

How hard a request is, is counted: one point for tools, for a format of the answer, for code in the
last message, for a prompt of more than 8,000 tokens, for a wish to reason; two for one of effort
`high` or more; four at most. Then

    score = quality - (28 - 4 * points) * log10(price / $0.10)

The price is of a million tokens, three quarters prompt. So a tenfold price must be worth 28 points
of quality to an easy request, and 12 to the hardest. `quality`, 0 to 100, is the operator's figure
for the model. A model without one is taken for what its price promises, less 10 points for every
year that it is older than the newest: among such the best buy is at about $0.10 for easy requests,
at $1 for those of two points, at $10 for the hardest. What costs less than 5 cents counts as 5
cents. What costs nothing and has no figure is taken for 30 where it is the operator's own, for 10
where others give it away; what has no price for 30 at $3. What was measured here in the last half
hour only takes away: 20 points for no uptime at all, up to 10 for less than 20 tokens a second.
What is shut now is not asked as long as anything else can be.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import log10
from typing import Final, NamedTuple

from proxy.money import tariff_of
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.filters import Choice, Wish, excluded
from proxy.routing.health import EndpointId, Pool
from proxy.routing.names import free_elsewhere
from proxy.routing.slugs import may_reason
from proxy.wire.request import TALK, Ask
from proxy.wire.tokens import likely_tokens

HOUSE: Final = "openrouter/"
"""How names of routers begin, which are nobody's choice."""

PICK_BYTES: Final = 400
"""About what one takes."""

_POINTS_MAX: Final = 4
_TEXT: Final = {"type": "text"}  # a format that is none
_LONG_TOKENS: Final = 8000
_HARD: Final = frozenset(("high", "xhigh", "max"))
_OPEN: Final = frozenset(("well", "shaky", "recovering"))
_CONSIDERED: Final = 16  # of the best by score: so many are looked at for how they are doing
_YEAR_S: Final = 365 * 86_400
_MILLION: Final = 10**6
_PLAIN: Final = 30.0  # the quality of what costs 10 cents, or of nobody knows what
_GIVEN_AWAY: Final = 10.0
_UNKNOWN_USD: Final = 3.0  # what has no price is taken for no bargain
_LEAST_USD: Final = 0.05
_SLOW_TPS: Final = 20.0
_MINUTES: Final = 30


class Pick(NamedTuple):
    """A model that a router may choose. `score` is as the module says, the greater the better;
    `price_usd` is of a million tokens, None where nobody knows; `guessed` that the operator gave
    no figure for its quality.
    """

    model: Model
    score: float
    quality: float
    guessed: bool
    price_usd: float | None
    endpoints: tuple[EndpointId, ...]

    @property
    def words(self) -> str:
        """For people: why it has this score."""
        figure = f"quality {self.quality:.0f}{' (guessed by its price)' if self.guessed else ''}"
        price = "no price" if self.price_usd is None else f"${self.price_usd:.2f} a million tokens"
        return f"score {self.score:.1f}: {figure}, {price}"


def ranked(
    ask: Ask,
    catalogue: Catalogue,
    *,
    pool: Pool,
    now: float,
    free: bool = False,
    priced_only: bool = False,
) -> list[Pick]:
    """The models that `ask` may be given to, best first, as far as it is worth to look at them.
    `free` is for what costs nothing alone, `priced_only` for what has a price; `now` is seconds of
    the pool's clock.
    """
    well = (pick for pick in _able(ask, catalogue, free, priced_only) if _well(pick, pool, now))
    lately = [_lately(pick, pool, now) for pick in islice(well, _CONSIDERED)]
    if lately:
        return sorted(lately, key=_score)
    return list(islice(_able(ask, catalogue, free, priced_only), _CONSIDERED))


def costless(
    ask: Ask, catalogue: Catalogue, *, pool: Pool, now: float, priced_only: bool = False
) -> list[Pick]:
    """All models that `ask` may be given to for nothing, without those that are shut now."""
    able = list(_able(ask, catalogue, True, priced_only))
    return [pick for pick in able if _well(pick, pool, now)] or able


def difficulty(ask: Ask, tokens: int) -> int:
    """How hard a request with a prompt of so many `tokens` is: 0 to 4 points."""
    thinking = ask.thinking
    points = 0
    if thinking is not None and thinking.effort != "none":
        points = 2 if thinking.effort in _HARD else 1
    points += bool(ask.body.get("tools"))
    points += (ask.body.get("response_format") or _TEXT) != _TEXT
    points += tokens > _LONG_TOKENS
    points += "```" in _last_words(ask)
    return min(points, _POINTS_MAX)


def _last_words(ask: Ask) -> str:
    messages = ask.body.get("messages")
    said = messages[-1].get("content") if messages else ask.body.get("prompt")
    if isinstance(said, list):
        texts = (one.get("text") for one in said if isinstance(one, dict))
        return "\n".join(text for text in texts if isinstance(text, str))
    return said if isinstance(said, str) else ""


def _able(ask: Ask, catalogue: Catalogue, free: bool, priced_only: bool) -> Iterator[Pick]:
    """The models that can do `ask`, best first, whoever is well."""
    tokens = likely_tokens(ask.text_bytes, ask.media_prompt + ask.audio_prompt)
    thinks = ask.thinking is not None and ask.thinking.effort != "none"
    wish = Wish(
        names=(),
        task=ask.task,
        required=ask.required | (ask.soft - {"verbosity"}),
        priced_only=priced_only,
        tools=None,
        kept=ask.names,
        preferences=ask.preferences,
        soft=frozenset(),
        tier=ask.tier,
        inputs=ask.inputs,
        outputs=ask.outputs,
    )
    key = (wish, difficulty(ask, tokens), free, thinks)
    known: Sequence[Pick] | None = catalogue.routes.get(key)
    if known is None:
        known = _picks(catalogue, *key)
        catalogue.routes.keep(key, known, wish.size_bytes + PICK_BYTES * len(known))
    room = tokens + (ask.max_tokens or 0)
    return (pick for pick in known if (pick.model.context_length or room) >= room)


def _picks(
    catalogue: Catalogue, wish: Wish, points: int, free: bool, thinks: bool
) -> Sequence[Pick]:
    if wish.task not in TALK:
        return ()
    choice = Choice(wish, frozenset(), free)
    able: list[tuple[Model, list[Endpoint]]] = []
    for model in catalogue.models.values():
        if model.id.startswith((HOUSE, "~")):
            continue  # a provider's own routers and moving names
        if free and free_elsewhere(model, catalogue):
            continue
        if fit := [one for one in model.endpoints if not excluded(model, one, choice, None)]:
            able.append((model, fit))
    if wish.inputs:  # what is only guessed to read them is asked where nothing is known to
        able = [pair for pair in able if pair[0].takes is not None] or able
    if thinks:
        able = [pair for pair in able if _reasons(*pair)] or able
    newest = max((model.created or 0 for model, _ in able), default=0)
    picks = [_pick(model, fit, points, newest) for model, fit in able]
    return sorted(picks, key=_score)


def _score(pick: Pick) -> float:
    return -pick.score


def _reasons(model: Model, endpoints: Iterable[Endpoint]) -> bool:
    return any(
        may_reason(model.id) if one.supported_parameters is None
        else "reasoning" in one.supported_parameters
        for one in endpoints
    )  # fmt: skip


def _pick(model: Model, endpoints: Sequence[Endpoint], points: int, newest: int) -> Pick:
    known = [usd for one in endpoints if (usd := _price_usd(one)) is not None]
    price_usd = min(known, default=None)
    tenfolds = log10(max(_UNKNOWN_USD if price_usd is None else price_usd, _LEAST_USD) / 0.1)
    quality = model.quality
    if quality is None:
        if price_usd:
            quality = _PLAIN + 28 * tenfolds - 4 * tenfolds**2
        else:
            own = price_usd is None or any(one.provider.local for one in endpoints)
            quality = _PLAIN if own else _GIVEN_AWAY
        quality -= 10 * (newest - (model.created or newest)) / _YEAR_S
    return Pick(
        model=model,
        score=quality - (28 - 4 * points) * tenfolds,
        quality=quality,
        guessed=model.quality is None,
        price_usd=price_usd,
        endpoints=tuple((one.tag, one.model) for one in endpoints),
    )


def _price_usd(endpoint: Endpoint) -> float | None:
    """Of a million tokens, three quarters prompt."""
    pricing = endpoint.pricing
    if pricing is None:
        return None
    usd = float(pricing.prompt * 3 + pricing.completion) / 4 * _MILLION
    return usd if usd > 0 or tariff_of(pricing).free else None  # it is sold by other units


def _well(pick: Pick, pool: Pool, now: float) -> bool:
    """Whether some endpoint of it is in service, or due for the request that tries it again."""
    looks = (pool.look(id, now) for id in pick.endpoints)
    return any(word in _OPEN or (word == "probing" and weight > 0) for word, weight, _ in looks)


def _lately(pick: Pick, pool: Pool, now: float) -> Pick:
    """`pick` with the score that its best endpoint leaves it."""
    lost = min(_trouble(id, pool, now) for id in pick.endpoints)
    return pick._replace(score=pick.score - lost) if lost else pick


def _trouble(id: EndpointId, pool: Pool, now: float) -> float:
    history, speed = pool.history(id), pool.speed(id, now)
    uptime = None if history is None else history.uptime(now, _MINUTES)
    lost = 0.0 if uptime is None else 20 * (1 - uptime)
    if speed is not None:
        lost += 10 * max(0.0, 1 - speed.throughput_at(0.5) / _SLOW_TPS)
    return lost

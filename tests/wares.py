"""Models and endpoints for tests of the catalogue's API, and the application that shows them."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from msgspec.structs import replace
from starlette.requests import Request

from proxy.aliases import Alias
from proxy.api.catalogue import Shop
from proxy.api.live import Live
from proxy.app import App
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.health import Pool
from proxy.routing.waits import Timeouts
from proxy.wire.request import Task

NOW = 1_800_000_000.0
DAY = 86_400
ACME = Provider(slug="acme", name="Acme AI", base_url="http://127.0.0.1:1/v1")
PRICES = Pricing(prompt=Decimal("0.000003"), completion=Decimal("0.000015"))
WAITS = Timeouts(
    connect_s=5, first_byte_s=30, first_token_s=60, between_chunks_s=30, answer_s=600
)  # fmt: skip


def endpoint(**more: Any) -> Endpoint:
    usual: dict[str, Any] = {
        "provider": ACME,
        "model": "large",
        "context_length": 32_768,
        "max_completion_tokens": 4096,
        "quantization": "fp8",
        "supported_parameters": ("tools", "temperature"),
        "pricing": PRICES,
        "timeouts": WAITS,
        "tag": "acme",
    }
    return Endpoint(**usual | more)


def model(id_: str = "acme/large", *endpoints: Endpoint, **more: Any) -> Model:
    usual: dict[str, Any] = {
        "id": id_,
        "name": "Acme Large",
        "created": 1_700_000_000,
        "description": "Speaks.",
        "context_length": 32_768,
        "input_modalities": ("text", "image"),
        "output_modalities": ("text",),
        "endpoints": endpoints or (endpoint(),),
    }
    return Model(**usual | more)


UNSAID = model(
    "acme/unsaid",
    endpoint(
        context_length=None,
        max_completion_tokens=None,
        quantization="unknown",
        supported_parameters=None,
        pricing=None,
    ),
    created=None,
    description=None,
    context_length=None,
)
NOWHERE = replace(model("acme/nowhere"), endpoints=())
SEVERAL = model(
    "acme/several",
    endpoint(),
    endpoint(provider=replace(ACME, slug="other", name="Other"), supported_parameters=("seed",)),
)


def embedder(id_: str = "acme/embed") -> Model:
    tasks: frozenset[Task] = frozenset(("embeddings",))
    vectors = endpoint(model="embed", tasks=tasks, supported_parameters=())
    return model(id_, vectors, input_modalities=("text",), output_modalities=("embeddings",))


def priced(prompt: str, completion: str = "0") -> Pricing:
    """Prices in USD per million tokens."""
    million = Decimal(10**6)
    return Pricing(prompt=Decimal(prompt) / million, completion=Decimal(completion) / million)


def untried() -> Live:
    """The figures of endpoints that nobody asked yet."""
    return Live(Pool(), lambda: 0.0)


async def _no_metrics() -> bytes:
    return b""


def known_by(key: str | None) -> Callable[[Request], None]:
    """Who may ask: who shows that key, or anyone."""

    def authenticate(request: Request) -> None:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            raise GatewayError("unauthenticated", "No auth credentials found")

    return authenticate


def app_of(
    *models: Model,
    providers: tuple[Provider, ...] = (ACME,),
    aliases: tuple[Alias, ...] = (),
    live: Live | None = None,
    key: str | None = None,
    enforce: bool = False,
) -> App:
    catalogue = Catalogue(models, aliases)
    shop = Shop(
        catalogue=lambda: catalogue,
        providers=lambda: providers,
        live=live or untried(),
        authenticate=known_by(key),
        enforce=lambda: enforce,
        wall=lambda: NOW,
    )
    return App(
        inference={},
        routes=shop.routes(),
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=_no_metrics,
    )

"""The paths beside inference, each given the part of the gateway that it asks."""

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.routing import BaseRoute

from proxy.accounts.keys import Key
from proxy.api import account, aliases, catalogue, feedback, imagery, presets
from proxy.api.live import Live
from proxy.office import Office
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue
from proxy.stores.aside import Aside


def control(
    office: Office,
    *,
    models: Callable[[], Catalogue],
    providers: Callable[[], Sequence[Provider]],
    authenticate: Callable[[Request], Key | None],
    live: Live,
    enforce: Callable[[], bool],
    body_bytes_max: Callable[[], int],
    aside: Aside,
    wall: Callable[[], float],
) -> list[BaseRoute]:
    """All routes below `/api/v1`. `models`, `providers` and `enforce`, whether requests need
    credit, are asked anew by every request; `wall` is the time in seconds since 1970.
    """
    return [
        *catalogue.Shop(
            catalogue=models,
            providers=providers,
            live=live,
            authenticate=authenticate,
            enforce=enforce,
            wall=wall,
        ).routes(),
        *imagery.routes(models),
        *account.routes(
            authenticate=authenticate,
            spent=office.spent,
            balance=office.balance,
            free=office.free,
            find=office.find,
            now=wall,
        ),
        *presets.routes(
            authenticate=authenticate, shelf=office, body_bytes_max=body_bytes_max, now=wall
        ),
        *feedback.routes(authenticate=authenticate, find=office.find, keep=office.remark, now=wall),
        *aliases.routes(
            authenticate=authenticate,
            aliases=lambda: models().aliases,
            trial=aside.trial,
            now=wall,
        ),
    ]

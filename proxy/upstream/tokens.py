"""What a key is lent for a while: kept, renewed before it ends, asked for once by all who wait.

Google gives a service account a token, Microsoft Entra an application; AWS's own configuration
leads to credentials that change. A renewal begins with the first use after 80 % of the life, while
what is there still serves. One that fails lets the key rest, for longer each time.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from proxy.errors import GatewayError
from proxy.identity import Application, ServiceAccount
from proxy.upstream.fetch import fetch
from proxy.upstream.transport import Call, Transport

FETCH_S: Final = 10.0
REST_S: Final = 10.0
REST_S_MAX: Final = 300.0
"""How long a key rests that got no token: twice as long each time, up to the maximum."""

GOOGLE_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
AZURE_SCOPE: Final = "https://cognitiveservices.azure.com/.default"
AUTHORITY: Final = "https://login.microsoftonline.com"

_RENEW_AT: Final = 0.8  # of the life
_SPARE_S: Final = 60.0  # a call may take that long to arrive
_LIFE_S_MAX: Final = 86_400.0
_ASSERTION_S: Final = 3600  # Google takes no longer one
_JWT_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_NEVER: Final = float("-inf")
_TOKEN = re.compile(r"[!-~]+")
_CODE = re.compile(r"[a-z_]{1,40}")

T = TypeVar("T")
log = logging.getLogger(__name__)


class Lent(NamedTuple, Generic[T]):
    """Something, and for how many seconds it is good."""

    value: T
    life_s: float


class TokenError(Exception):
    """There is no token, for a reason that may be shown."""


class Kept(Generic[T]):
    """What `fetch` gives, for the provider `name`. `now` is seconds of the loop's clock, `since`
    when what is there came.
    """

    def __init__(self, fetch: Callable[[], Awaitable[Lent[T]]], *, name: str) -> None:
        self._fetch = fetch
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._value: T | None = None
        self._renew_at = self._good_until = self.since = _NEVER
        self._failures = 0
        self.rests_until = _NEVER
        self.recent: tuple[T, ...] = ()

    @property
    def value(self) -> T:
        """What is lent. Raises GatewayError `provider_credential` where nothing is."""
        if self._value is None:
            raise lacking()
        return self._value

    def good(self, now: float) -> bool:
        """Whether it can be used."""
        return self._value is not None and now < self._good_until

    def freshen(self, now: float) -> None:
        """Begins a renewal where it is time for one; what is there still serves."""
        if now >= self._renew_at and now >= self.rests_until:
            self.renew()

    def renew(self) -> asyncio.Task[None]:
        """The renewal that is under way, or a new one. It ends without an error in any case."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._renew())
        return self._task

    def drop(self, now: float) -> None:
        """Whom it was shown to did not like it: another one is asked for, but not at once."""
        self._value = None
        self._renew_at = _NEVER
        self.rests_until = max(self.rests_until, now + REST_S)

    async def close(self, *, give_up: bool) -> None:
        """Ends a renewal that is under way, or waits for its end."""
        if self._task is not None:
            if give_up:
                self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _renew(self) -> None:
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            async with asyncio.timeout(FETCH_S):
                lent = await self._fetch()
        except Exception as error:  # whatever it was, its text may hold anything
            self._fail(clock(), _reason(error))
            return
        self._value = lent.value
        self.recent = (lent.value, *self.recent[:1])
        life_s = min(lent.life_s, _LIFE_S_MAX)
        self.since = clock()
        self._renew_at = began_at + _RENEW_AT * life_s
        self._good_until = began_at + life_s - min(_SPARE_S, life_s / 10)
        self._failures, self.rests_until = 0, _NEVER

    def _fail(self, now: float, reason: str) -> None:
        rest_s = min(REST_S * 2**self._failures, REST_S_MAX)
        self._failures = min(self._failures + 1, 10)
        self.rests_until = now + rest_s
        log.warning("no token for %s, again in %d s: %s", self._name, rest_s, reason)


def lacking() -> GatewayError:
    """What to raise where a call can not be signed."""
    return GatewayError("provider_credential", "The gateway has no token for the provider.")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, TokenError | GatewayError):
        return str(error)
    return type(error).__name__


def of_service_account(
    account: ServiceAccount, *, transport: Transport, wall: Callable[[], float], name: str
) -> Kept[str]:
    """The tokens of a service account of Google (RFC 7523); `wall` is seconds since 1970."""

    async def token() -> Lent[str]:
        # In a thread: the first one imports a library, each takes a millisecond of arithmetic.
        assertion = await asyncio.to_thread(_assertion, account, int(wall()))
        form = {"grant_type": _JWT_GRANT, "assertion": assertion}
        return await granted(transport, account.token_uri, form)

    return Kept(token, name=name)


def of_application(
    application: Application, *, transport: Transport, authority: str, name: str
) -> Kept[str]:
    """The tokens of an application of Microsoft Entra, by the client credentials grant."""
    tenant = quote(application.tenant, safe="")
    url = f"{authority.rstrip('/')}/{tenant}/oauth2/v2.0/token"
    form = {
        "grant_type": "client_credentials",
        "client_id": application.client,
        "client_secret": application.secret,
        "scope": AZURE_SCOPE,
    }
    return Kept(lambda: granted(transport, url, form), name=name)


async def granted(transport: Transport, url: str, form: Mapping[str, str]) -> Lent[str]:
    """The token that an OAuth server gives for `form` (RFC 6749, section 5).

    Raises TokenError, and GatewayError where it can not be reached.
    """
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    call = Call(url, headers, urlencode(form).encode(), FETCH_S)
    status, body = await fetch(transport, call, timeout_s=FETCH_S)
    if status != 200:
        raise TokenError(f"status {status}{_code(body)}")
    try:
        answer = msgspec.json.decode(body, type=_Granted, strict=False)
    except msgspec.DecodeError:
        raise TokenError("the answer is not a token") from None
    if not _TOKEN.fullmatch(answer.access_token) or not answer.expires_in > 0:
        raise TokenError("the answer is not a token")
    return Lent(answer.access_token, answer.expires_in)


class _Granted(msgspec.Struct):
    access_token: str
    expires_in: float = 3600.0


def _code(body: bytes) -> str:
    """The error's code, which unlike its text names nobody."""
    try:
        said = msgspec.json.decode(body, type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, RecursionError):
        return ""
    return f", {said}" if isinstance(said, str) and _CODE.fullmatch(said) else ""


def _assertion(account: ServiceAccount, now_s: int) -> str:
    """Signed by the account's own key, what is asked for: a JWT, good for an hour."""
    from google.auth import crypt, jwt

    try:
        signer = crypt.RSASigner.from_string(account.private_key, account.private_key_id)
    except Exception:  # of whichever library is at hand
        raise TokenError("the private key can not be used") from None
    claims = {
        "iss": account.client_email,
        "scope": GOOGLE_SCOPE,
        "aud": account.token_uri,
        "iat": now_s,
        "exp": now_s + _ASSERTION_S,
    }
    assertion: bytes = jwt.encode(signer, claims)
    return assertion.decode("ascii")

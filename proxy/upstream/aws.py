"""How AWS wants a call signed: Signature Version 4, by botocore's own arithmetic.

What is signed is what is sent: the transport sends a URL byte for byte, and nothing else than the
host, the date and the session token is in a signature. Headers that begin with `x-amz-` would have
to be, so no dialect sends any.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final

from proxy.identity import AwsPair, AwsProfile
from proxy.upstream.tokens import Kept, Lent, TokenError

SERVICE: Final = "bedrock"

# botocore itself renews credentials that end when less than 15 minutes of them are left. It is
# asked more often than that, which costs nothing where there is nothing to renew.
_LIFE_S: Final = 375.0  # renewed after 80 % of it: every five minutes


class SigV4:
    """One account of AWS. Times are seconds since 1970."""

    def __init__(
        self,
        account: AwsPair | Kept[AwsPair],
        *,
        region: str,
        wall: Callable[[], float],
        service: str = SERVICE,
    ) -> None:
        from botocore.auth import SigV4Auth

        self.kept = account if isinstance(account, Kept) else None
        self._pair = account if isinstance(account, AwsPair) else None
        self._region = region
        self._wall = wall
        self._service = service
        self._auth = SigV4Auth

    @property
    def secrets(self) -> tuple[str, ...]:
        pairs = self.kept.recent if self.kept is not None else (self._pair,)
        return tuple(secret for pair in pairs if pair is not None for secret in pair.secrets)

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        pair = self.kept.value if self.kept is not None else self._pair
        assert pair is not None
        stamp = datetime.fromtimestamp(self._wall(), UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {"X-Amz-Date": stamp}
        if pair.session:
            headers["X-Amz-Security-Token"] = pair.session
        account = SimpleNamespace(access_key=pair.access, secret_key=pair.secret)
        auth = self._auth(account, self._service, self._region)
        # What botocore reads of a request. Its own class prepares a call that is never made.
        request = SimpleNamespace(
            method="GET" if body is None else "POST",
            url=url,
            headers=headers,
            body=body,
            params=None,
            context={"timestamp": stamp, "payload_signing_enabled": True},
        )
        signature = auth.signature(
            auth.string_to_sign(request, auth.canonical_request(request)), request
        )
        signed = auth.signed_headers(auth.headers_to_sign(request))
        return {
            **headers,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
            f"SignedHeaders={signed}, Signature={signature}",
        }


def of_profile(profile: AwsProfile, *, name: str) -> Kept[AwsPair]:
    """The credentials that AWS's own tools would find, looked for in a thread: that reads files,
    runs programs and asks servers.
    """
    found: list[Any] = []

    def look() -> Lent[AwsPair]:
        if not found:
            found.append(_credentials(profile.name))
        frozen = found[0].get_frozen_credentials()
        return Lent(AwsPair(frozen.access_key, frozen.secret_key, frozen.token), _LIFE_S)

    return Kept(lambda: asyncio.to_thread(look), name=name)


def _credentials(profile: str) -> Any:
    from botocore.session import Session

    try:
        found = Session(profile=None if profile == "default" else profile).get_credentials()
    except Exception as error:  # of botocore, named by what it could not find
        raise TokenError(f"AWS's configuration can not be used: {type(error).__name__}") from None
    if found is None:
        raise TokenError("AWS's configuration has no credentials")
    return found

"""Keys of callers: one form, one fingerprint, and one way to find the one in a request."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.accounts.keys import (
    PREFIX,
    Key,
    check,
    claimed,
    credential,
    fingerprint,
    mask,
    mint,
    well_formed,
)
from proxy.errors import GatewayError

HEX = "0123456789abcdef" * 4
SECRET = PREFIX + HEX
Headers = list[tuple[bytes, bytes]]


def carriers(secret: str) -> dict[str, tuple[bytes, bytes]]:
    value = secret.encode()
    return {
        "bearer": (b"authorization", b"Bearer " + value),
        "any case": (b"Authorization", b"bEARER " + value),
        "spaces": (b"authorization", b"  Bearer   " + value + b" "),
        "anthropic": (b"x-api-key", value),
        "anthropic, spaces": (b"X-Api-Key", b" " + value + b" "),
    }


CARRIERS = carriers(SECRET)


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_every_carrier_is_read(carrier: tuple[bytes, bytes]) -> None:
    assert credential([(b"host", b"x"), carrier, (b"accept", b"*/*")]) == SECRET


@pytest.mark.parametrize("first", CARRIERS)
@pytest.mark.parametrize("second", CARRIERS)
def test_the_same_twice_is_one(first: str, second: str) -> None:
    assert credential([CARRIERS[first], CARRIERS[second]]) == SECRET


@pytest.mark.parametrize("first", CARRIERS)
@pytest.mark.parametrize("second", CARRIERS)
def test_two_that_differ_are_refused(first: str, second: str) -> None:
    headers = [CARRIERS[first], carriers("another")[second]]
    with pytest.raises(GatewayError) as raised:
        credential(headers)
    assert (raised.value.kind, raised.value.status) == ("credentials_differ", 400)
    assert "another" not in raised.value.message
    assert HEX not in raised.value.message


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer  ")],
        [(b"authorization", SECRET.encode())],
        [(b"authorization", b"Basic dXNlcjpwYXNz")],
        [(b"x-api-key", b"  ")],
        [(b"cookie", SECRET.encode())],
        [(b"proxy-authorization", b"Bearer " + SECRET.encode())],
    ],
    ids=repr,
)
def test_what_carries_none(headers: Headers) -> None:
    assert credential(headers) is None


@pytest.mark.parametrize("carrier", CARRIERS.values(), ids=CARRIERS)
def test_what_a_request_claims(carrier: tuple[bytes, bytes]) -> None:
    assert claimed([carrier]) == fingerprint(SECRET)


def test_who_claims_no_key_is_refused_and_what_can_be_none_is_none() -> None:
    assert claimed([(b"x-api-key", b"sk-or-v1-unknown")]) == ""
    with pytest.raises(GatewayError, match="Missing Authentication header"):
        claimed([(b"host", b"a")])


NAMES = st.sampled_from([b"authorization", b"x-api-key"])


@given(st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=1))
def test_any_bytes_are_a_credential_or_none(headers: Headers) -> None:
    found = credential(headers)
    assert found is None or (found and not well_formed(found))
    assert found is None or len(fingerprint(found)) == 64


def test_minting() -> None:
    secret, key = mint("laptop", token_hex=lambda size: "ab" * size, now=5.0, expires_at=9.0)
    assert secret == PREFIX + "ab" * 32
    assert well_formed(secret)
    assert key == Key(
        hash=sha256(secret.encode()).hexdigest(),
        name="laptop",
        label="sk-or-v1-aba...bab",
        created_at=5.0,
        expires_at=9.0,
    )
    assert "ab" * 32 not in repr(key)


@given(st.text("0123456789abcdef", min_size=64, max_size=64))
def test_the_mask_shows_six_digits(digits: str) -> None:
    secret = PREFIX + digits
    assert well_formed(secret)
    assert re.fullmatch(r"sk-or-v1-[0-9a-f]{3}\.\.\.[0-9a-f]{3}", mask(secret))
    assert mask(secret) == f"{PREFIX}{digits[:3]}...{digits[-3:]}"
    assert re.fullmatch(r"[0-9a-f]{64}", fingerprint(secret))


@pytest.mark.parametrize(
    "secret",
    [
        "",
        PREFIX,
        HEX,
        SECRET + "0",
        SECRET[:-1],
        SECRET.upper(),
        SECRET + "\n",
        " " + SECRET,
        "é" * 73,
    ],
)
def test_what_can_be_no_key(secret: str) -> None:
    assert not well_formed(secret)
    assert fingerprint(secret) != fingerprint(SECRET)


def test_fingerprints_of_what_is_no_text() -> None:
    assert len(fingerprint("\udcff")) == 64


def key(*, expires_at: float | None = None, revoked_at: float | None = None) -> Key:
    return Key(
        hash="h", name="n", label="l", created_at=0, expires_at=expires_at, revoked_at=revoked_at
    )


@pytest.mark.parametrize("good", [key(), key(expires_at=10.1)], ids=repr)
def test_a_good_key_passes(good: Key) -> None:
    assert check(good, now=10.0) is good


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (None, "User not found."),
        (key(revoked_at=1.0), "User not found."),
        (key(revoked_at=1.0, expires_at=2.0), "User not found."),
        (key(revoked_at=99.0), "User not found."),
        (key(expires_at=10.0), "API key expired."),
        (key(expires_at=0.0), "API key expired."),
    ],
)
def test_a_bad_key_does_not(bad: Key | None, message: str) -> None:
    with pytest.raises(GatewayError, match=message) as raised:
        check(bad, now=10.0)
    assert raised.value.status == 401

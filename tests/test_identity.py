"""A key's form tells what it is, and no form of it is ever shown."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.identity import (
    Application,
    AwsPair,
    AwsProfile,
    Identity,
    ServiceAccount,
    Word,
    identify,
)
from proxy.providers import Auth

CANARY = "sk-canary-0123456789abcdef"
PEM = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
ACCOUNT = {
    "type": "service_account",
    "project_id": "ours",
    "private_key_id": "0123456789abcdef",
    "private_key": PEM,
    "client_email": "weir@ours.iam.gserviceaccount.com",
    "client_id": "1234567890",
    "token_uri": "https://oauth2.googleapis.com/token",
}
GOOGLE = ServiceAccount(
    client_email="weir@ours.iam.gserviceaccount.com",
    private_key=PEM,
    private_key_id="0123456789abcdef",
    project_id="ours",
)


@pytest.mark.parametrize(
    ("key", "auth", "also", "identity"),
    [
        ("k", "bearer", None, Word("k")),
        ("odd:but:a:key", "bearer", None, Word("odd:but:a:key")),
        ("k", "x-api-key", None, Word("k")),
        ("bedrock-api-key-abc==", "bearer", "aws", Word("bedrock-api-key-abc==")),
        ("AKID:s/e+c=", "bearer", "aws", AwsPair("AKID", "s/e+c=")),
        ("AKID:s:t", "aws", None, AwsPair("AKID", "s", "t")),
        ("aws:default", "bearer", "aws", AwsProfile("default")),
        ("aws:ours", "aws", None, AwsProfile("ours")),
        ("0123abcd", "api-key", "entra", Word("0123abcd")),
        ("t:c:s", "api-key", "entra", Application("t", "c", "s")),
        ("t:c:s", "entra", None, Application("t", "c", "s")),
        (json.dumps(ACCOUNT), "google", None, GOOGLE),
        (json.dumps(ACCOUNT), "x-goog-api-key", "google", GOOGLE),
        ("AIza", "x-goog-api-key", "google", Word("AIza")),
    ],
)
def test_the_form_tells(key: str, auth: Auth, also: Auth | None, identity: Identity) -> None:
    found = identify(key, auth, also)
    assert found == identity
    assert type(found) is type(identity)


@pytest.mark.parametrize(
    ("key", "auth", "also", "reason"),
    [
        ("", "bearer", None, "is empty"),
        ("", "google", None, "is empty"),
        (f"{CANARY} x", "bearer", None, "holds a space or a character that no key has"),
        (f"{CANARY}\u00e9", "aws", None, "holds a space or a character that no key has"),
        (CANARY, "aws", None, 'is not "ACCESS_KEY_ID:SECRET_ACCESS_KEY"'),
        (f"aws:{''}", "aws", None, 'is not "ACCESS_KEY_ID:'),
        (f"a:{CANARY}:c:d", "bearer", "aws", 'is not "ACCESS_KEY_ID:'),
        (f"a::{CANARY}", "bearer", "aws", 'is not "ACCESS_KEY_ID:'),
        (f"a:{CANARY}", "api-key", "entra", 'is not "TENANT_ID:CLIENT_ID:CLIENT_SECRET"'),
        (CANARY, "google", None, "is not the JSON file of a service account"),
        (f'["{CANARY}"]', "google", None, "is not the JSON file of a service account"),
        ("[" * 100_000, "google", None, "is not the JSON file of a service account"),
        (json.dumps({**ACCOUNT, "type": "authorized_user"}), "google", None, "is not the JSON"),
        (json.dumps({**ACCOUNT, "private_key": CANARY}), "google", None, "is not the JSON"),
        (json.dumps({**ACCOUNT, "client_email": ""}), "google", None, "is not the JSON"),
        (json.dumps({**ACCOUNT, "token_uri": "file:///etc"}), "google", None, "is not the JSON"),
        (json.dumps({**ACCOUNT, "private_key": None}), "google", None, "is not the JSON"),
        (json.dumps({"type": "service_account"}), "google", None, "is not the JSON"),
    ],
)
def test_what_is_no_key_is_said_without_it(
    key: str, auth: Auth, also: Auth | None, reason: str
) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds) ") as caught:
        identify(key, auth, also)
    assert str(caught.value).startswith(reason)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text(), st.sampled_from(["bearer", "api-key", "aws", "google", "entra"]), st.booleans())
def test_any_text_is_a_key_or_a_value_error(key: str, auth: Any, also: bool) -> None:
    try:
        found = identify(key, auth, "aws" if also else None)
    except ValueError:
        return
    assert isinstance(found, Word | AwsPair | AwsProfile | Application)


IDENTITIES: list[tuple[Identity, set[str]]] = [
    (Word(CANARY), {CANARY}),
    (AwsPair("AKID", CANARY), {"AKID", CANARY}),
    (AwsPair("AKID", CANARY, "session"), {"AKID", CANARY, "session"}),
    (AwsProfile("default"), set()),
    (GOOGLE, {PEM, "0123456789abcdef", "weir@ours.iam.gserviceaccount.com"}),
    (Application("tenant", "client", CANARY), {"tenant", "client", CANARY}),
]


@pytest.mark.parametrize(("identity", "secrets"), IDENTITIES)
def test_all_its_parts_are_secrets_and_none_is_shown(identity: Identity, secrets: set[str]) -> None:
    assert set(identity.secrets) == secrets
    shown = f"{identity} {identity!r} {[identity]} {identity.__rich_repr__()}"
    assert shown.startswith(type(identity).__name__)
    assert not any(secret in shown for secret in secrets)


def test_an_account_may_leave_out_what_is_not_needed() -> None:
    least = {
        name: ACCOUNT[name] for name in ("type", "private_key", "client_email")
    }  # fmt: skip
    found = identify(json.dumps(least), "google")
    assert found == msgspec.structs.replace(GOOGLE, private_key_id=None, project_id=None)

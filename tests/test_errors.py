"""The table of errors: every row can be told, and says whose fault it is and what follows."""

import pytest

from proxy.errors import KINDS, CallerGone, GatewayError, Retry, Source

UNFIT = {"provider_unfit", "provider_lacks_media"}  # the caller's, and another endpoint's to take


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_raised(kind: str) -> None:
    error = GatewayError(kind, "What happened.")
    row = KINDS[kind]
    assert (error.kind, error.status, error.error_type) == (kind, row.status, row.error_type)
    assert (error.source, error.retry) == (row.source, row.retry)
    assert str(error) == error.message == "What happened."
    assert error.metadata == error.headers == {}
    assert 400 <= error.status < 600


@pytest.mark.parametrize("kind", KINDS)
def test_whose_fault_decides(kind: str) -> None:
    row = KINDS[kind]
    assert (row.retry is Retry.NEVER) == (not kind.startswith("provider_"))
    if row.source is Source.CALLER:
        assert row.status < 500
    if row.source is Source.CREDENTIAL:
        assert row.status == 502, "our key's trouble never looks like the caller's key's"
    if row.retry is Retry.ENDPOINT and kind not in UNFIT:
        assert row.source in (Source.PROVIDER, Source.CREDENTIAL)


def test_no_fault_but_the_callers_is_a_401() -> None:
    assert [kind for kind, row in KINDS.items() if row.status == 401] == ["unauthenticated"]


def test_departures_from_the_row() -> None:
    metadata, headers = {"raw": "x"}, {"Retry-After": "3"}
    error = GatewayError("provider_rejected", "No.", status=422, metadata=metadata, headers=headers)
    assert (error.status, error.metadata, error.headers) == (422, metadata, headers)
    assert error.metadata is not metadata
    assert error.headers is not headers


def test_an_unknown_kind_is_a_bug() -> None:
    with pytest.raises(KeyError):
        GatewayError("no_such_kind", "")


def test_a_caller_who_is_gone_is_no_error_to_tell() -> None:
    assert not issubclass(CallerGone, GatewayError)

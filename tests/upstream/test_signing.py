"""The gateway's own keys: one header each, in turns."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream.signing import Signing


def test_no_key_is_one_try_without_a_header() -> None:
    signing = Signing({"empty": ()})
    assert list(signing.headers("unknown")) == [{}]
    assert list(signing.headers("empty")) == [{}]
    assert signing.secrets("unknown") == signing.secrets("empty") == ()


def test_a_key_goes_into_one_header() -> None:
    signing = Signing({"one": ["sk-1"]})
    for _ in range(3):
        assert list(signing.headers("one")) == [{"Authorization": "Bearer sk-1"}]
    assert signing.secrets("one") == ("sk-1",)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True), st.integers(1, 20))
def test_keys_take_turns_and_every_request_may_try_all(keys: list[str], requests: int) -> None:
    signing = Signing({"many": keys, "other": ["sk-other"]})
    for number in range(requests):
        tried = [headers["Authorization"] for headers in signing.headers("many")]
        first = number % len(keys)
        assert tried == [f"Bearer {key}" for key in [*keys[first:], *keys[:first]]]
        assert list(signing.headers("other")) == [{"Authorization": "Bearer sk-other"}]
    assert signing.secrets("many") == tuple(keys)


def test_a_turn_is_taken_even_where_the_first_key_is_enough() -> None:
    signing = Signing({"two": ["a", "b"]})
    firsts = [next(signing.headers("two"))["Authorization"] for _ in range(4)]
    assert firsts == ["Bearer a", "Bearer b", "Bearer a", "Bearer b"]


def test_later_changes_of_the_list_change_nothing() -> None:
    keys = ["a"]
    signing = Signing({"one": keys})
    keys.append("b")
    assert len(list(signing.headers("one"))) == 1


def test_it_does_not_show_keys() -> None:
    assert "sk-secret" not in repr(Signing({"one": ["sk-secret"]}))


def test_where_a_provider_lives_is_nobodys_business() -> None:
    signing = Signing({"a": ["k"]}, {"a": "http://10.0.0.1:9000/v1", "b": "https://b.example"})
    assert (signing.secrets("a"), signing.hosts("a")) == (("k",), ("10.0.0.1:9000",))
    assert (signing.secrets("b"), signing.hosts("b")) == ((), ("b.example",))
    assert signing.hosts("c") == ()

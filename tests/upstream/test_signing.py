"""The gateway's own keys: one header each, in turns, those that are out of favour left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.rules import Rules
from proxy.upstream.signing import Credential, Signing


def tried(signing: Signing, slug: str = "many", now: float = 0.0) -> list[str]:
    """The keys of one request, in their order."""
    found = [one.headers["Authorization"] for one in signing.headers(slug, now)]
    return [header.removeprefix("Bearer ") for header in found]


def test_no_key_is_one_try_without_a_header() -> None:
    signing = Signing({"empty": ()})
    for slug in ("unknown", "empty"):
        assert list(signing.headers(slug, 0.0)) == [Credential({}, 0)]
        assert signing.secrets(slug) == ()
        signing.refused(slug, 0, 0.0)
        signing.limited(slug, 0, 0.0, None)
        signing.accepted(slug, 0)
        assert list(signing.headers(slug, 0.0)) == [Credential({}, 0)]
        assert signing.all_refused(slug, 0.0)  # whom it refuses without a key it refuses
        assert not signing.ready(slug, 0.0)
        assert signing.soonest_s(slug, 0.0) == 0.0


def test_a_key_goes_into_one_header() -> None:
    signing = Signing({"one": ["sk-1"]})
    for _ in range(3):
        assert list(signing.headers("one", 0.0)) == [
            Credential({"Authorization": "Bearer sk-1"}, 0)
        ]
    assert signing.secrets("one") == ("sk-1",)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True), st.integers(1, 20))
def test_keys_take_turns_and_every_request_may_try_all(keys: list[str], requests: int) -> None:
    signing = Signing({"many": keys, "other": ["sk-other"]})
    for number in range(requests):
        found = list(signing.headers("many", 0.0))
        first = number % len(keys)
        rotated = [*keys[first:], *keys[:first]]
        assert [one.headers["Authorization"] for one in found] == [f"Bearer {k}" for k in rotated]
        assert [keys[one.number] for one in found] == rotated
        assert tried(signing, "other") == ["sk-other"]
    assert signing.secrets("many") == tuple(keys)


def test_a_turn_is_taken_even_where_the_first_key_is_enough() -> None:
    signing = Signing({"two": ["a", "b"]})
    firsts = [next(signing.headers("two", 0.0)).number for _ in range(4)]
    assert firsts == [0, 1, 0, 1]


def test_later_changes_of_the_list_change_nothing() -> None:
    keys = ["a"]
    signing = Signing({"one": keys})
    keys.append("b")
    assert tried(signing, "one") == ["a"]


@pytest.mark.parametrize(
    ("said_s", "rest_s"),
    [(None, 5.0), (20.0, 20.0), (0.0, 1.0), (-3.0, 1.0), (float("nan"), 1.0), (9e9, 60.0)],
)
def test_a_limited_key_rests(said_s: float | None, rest_s: float) -> None:
    signing = Signing({"many": ["a", "b"]})
    signing.limited("many", 0, 100.0, said_s)
    assert tried(signing, now=100.0 + rest_s - 0.01) == ["b"]
    assert signing.ready("many", 100.0)
    assert not signing.all_refused("many", 100.0)
    assert sorted(tried(signing, now=100.0 + rest_s)) == ["a", "b"]


def test_how_long_a_key_rests_is_the_pools_rule() -> None:
    signing = Signing({"many": ["a"]}, rules=Rules(limited_s=7.0, limited_s_max=9.0))
    signing.limited("many", 0, 0.0, None)
    assert signing.soonest_s("many", 0.0) == 7.0
    signing.limited("many", 0, 0.0, 60.0)
    assert signing.soonest_s("many", 0.0) == 9.0


def test_the_soonest_key_is_that_which_is_ready_first() -> None:
    signing = Signing({"many": ["a", "b"]})
    assert signing.soonest_s("many", 50.0) == 0.0
    signing.limited("many", 0, 50.0, 20.0)
    assert signing.soonest_s("many", 50.0) == 0.0
    signing.limited("many", 1, 50.0, 30.0)
    assert signing.soonest_s("many", 51.0) == 19.0
    signing.refused("many", 0, 51.0)
    assert signing.soonest_s("many", 51.0) == 29.0
    assert signing.soonest_s("many", 90.0) == 0.0


def test_the_longer_rest_holds_whatever_an_older_answer_says() -> None:
    signing = Signing({"many": ["a", "b"]})
    signing.limited("many", 0, 0.0, 30.0)
    signing.limited("many", 0, 1.0, 5.0)
    signing.accepted("many", 0)
    assert tried(signing, now=29.9) == ["b"]


def test_a_refused_key_is_out_for_ten_minutes_or_until_it_is_accepted() -> None:
    signing = Signing({"many": ["a", "b"]})
    signing.refused("many", 1, 0.0)
    assert tried(signing, now=599.9) == ["a"]
    assert sorted(tried(signing, now=600.0)) == ["a", "b"]
    signing.refused("many", 1, 600.0)
    signing.accepted("many", 1)
    assert sorted(tried(signing, now=600.0)) == ["a", "b"]


def test_where_none_is_ready_one_is_tried_rather_one_that_waits() -> None:
    signing = Signing({"many": ["a", "b", "c"]})
    signing.refused("many", 0, 0.0)
    signing.limited("many", 1, 0.0, 60.0)
    signing.refused("many", 2, 0.0)
    assert [tried(signing) for _ in range(3)] == [["b"]] * 3
    assert not signing.ready("many", 0.0)
    assert not signing.all_refused("many", 0.0)
    signing.refused("many", 1, 0.0)
    assert signing.all_refused("many", 0.0)
    assert [tried(signing) for _ in range(4)] == [["a"], ["b"], ["c"], ["a"]]
    assert not signing.all_refused("many", 600.0)


def test_keys_of_providers_do_not_mix() -> None:
    signing = Signing({"many": ["a"], "other": ["a"]})
    signing.refused("many", 0, 0.0)
    assert signing.ready("other", 0.0)
    signing.refused("other", 7, 0.0)  # of an older configuration
    assert signing.ready("other", 0.0)


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["limited", "refused", "accepted"]), st.integers(0, 5))),
)
def test_every_request_has_a_key_and_none_twice(count: int, story: list[tuple[str, int]]) -> None:
    signing = Signing({"many": [f"sk-{number}" for number in range(count)]})
    for second, (what, number) in enumerate(story):
        now = float(second)
        if what == "limited":
            signing.limited("many", number, now, None)
        elif what == "refused":
            signing.refused("many", number, now)
        else:
            signing.accepted("many", number)
        numbers = [one.number for one in signing.headers("many", now)]
        assert 1 <= len(numbers) == len(set(numbers)) <= count
        assert not (signing.ready("many", now) and signing.all_refused("many", now))


def test_it_does_not_show_keys() -> None:
    signing = Signing({"one": ["sk-secret"]})
    credential = next(signing.headers("one", 0.0))
    assert credential.__rich_repr__() == [("number", 0)]
    assert repr(credential) == str(credential) == "Credential(number=0)"
    assert "sk-secret" not in repr((signing, vars(signing), credential))


def test_where_a_provider_lives_is_nobodys_business() -> None:
    signing = Signing({"a": ["k"]}, {"a": "http://10.0.0.1:9000/v1", "b": "https://b.example"})
    assert (signing.secrets("a"), signing.hosts("a")) == (("k",), ("10.0.0.1:9000",))
    assert (signing.secrets("b"), signing.hosts("b")) == ((), ("b.example",))
    assert signing.hosts("c") == ()

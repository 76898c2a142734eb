"""The gateway's own keys: one header each, in turns, those that are out of favour left out."""

import asyncio
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.routing.rules import Rules
from proxy.upstream.signing import PREPARE_S, Credential, Signing
from proxy.upstream.tokens import Kept, Lent, TokenError
from tests.clock import play


def tried(signing: Signing, slug: str = "many", now: float = 0.0) -> list[str]:
    """The keys of one request, in their order."""
    return [shown(one).removeprefix("Bearer ") for one in signing.credentials(slug, now)]


def shown(credential: Credential) -> str:
    """What a call shows."""
    return credential.sign("https://provider.test/", None)["Authorization"]


def unsigned(signing: Signing, slug: str) -> list[tuple[dict[str, str], int]]:
    found = signing.credentials(slug, 0.0)
    return [(dict(one.sign("https://provider.test/", b"")), one.number) for one in found]


def test_no_key_is_one_try_without_a_header() -> None:
    signing = Signing({"empty": ()})
    for slug in ("unknown", "empty"):
        assert unsigned(signing, slug) == [({}, 0)]
        assert signing.secrets(slug) == ()
        signing.refused(slug, 0, 0.0)
        signing.limited(slug, 0, 0.0, None)
        signing.accepted(slug, 0)
        assert unsigned(signing, slug) == [({}, 0)]
        assert signing.all_refused(slug, 0.0)  # whom it refuses without a key it refuses
        assert not signing.ready(slug, 0.0)
        assert signing.soonest_s(slug, 0.0) == 0.0


def test_a_key_goes_into_one_header() -> None:
    signing = Signing({"one": ["sk-1"]})
    for _ in range(3):
        assert unsigned(signing, "one") == [({"Authorization": "Bearer sk-1"}, 0)]
    assert signing.secrets("one") == ("sk-1",)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6, unique=True), st.integers(1, 20))
def test_keys_take_turns_and_every_request_may_try_all(keys: list[str], requests: int) -> None:
    signing = Signing({"many": keys, "other": ["sk-other"]})
    for number in range(requests):
        found = list(signing.credentials("many", 0.0))
        first = number % len(keys)
        rotated = [*keys[first:], *keys[:first]]
        assert [shown(one) for one in found] == [f"Bearer {k}" for k in rotated]
        assert [keys[one.number] for one in found] == rotated
        assert tried(signing, "other") == ["sk-other"]
    assert signing.secrets("many") == tuple(keys)


def test_a_turn_is_taken_even_where_the_first_key_is_enough() -> None:
    signing = Signing({"two": ["a", "b"]})
    firsts = [next(signing.credentials("two", 0.0)).number for _ in range(4)]
    assert firsts == [0, 1, 0, 1]


def test_a_credential_is_made_once_and_another_list_has_its_own() -> None:
    """A reload begins with new keys: what was kept of the old ones is not theirs."""
    before, after = Signing({"one": ["a"]}), Signing({"one": ["b"]})
    (first,), (again,) = before.credentials("one", 0.0), before.credentials("one", 1.0)
    assert first is again
    before.refused("one", 0, 0.0)
    assert tried(before, "one") == ["a"]
    assert tried(after, "one") == ["b"]


def test_what_is_known_without_a_key_is_of_one_list() -> None:
    one, other = (next(Signing({}).credentials("any", 0.0)) for _ in range(2))
    assert one.known == other.known == {}
    assert one.known is not other.known


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
        numbers = [one.number for one in signing.credentials("many", now)]
        assert 1 <= len(numbers) == len(set(numbers)) <= count
        assert not (signing.ready("many", now) and signing.all_refused("many", now))


def test_it_does_not_show_keys() -> None:
    signing = Signing({"one": ["sk-secret"]})
    credential = next(signing.credentials("one", 0.0))
    assert credential.__rich_repr__() == [("number", 0)]
    assert repr(credential) == str(credential) == "Credential(number=0)"
    assert "sk-secret" not in repr((signing, vars(signing), credential))


def test_where_a_provider_lives_is_nobodys_business() -> None:
    signing = Signing({"a": ["k"]}, {"a": "http://10.0.0.1:9000/v1", "b": "https://b.example"})
    assert (signing.secrets("a"), signing.hosts("a")) == (("k",), ("10.0.0.1:9000",))
    assert (signing.secrets("b"), signing.hosts("b")) == ((), ("b.example",))
    assert signing.hosts("c") == ()
    assert Signing({}, {"a": ("http://h.test/v1", "our-project", "http://h.test/v2")}).hosts(
        "a"
    ) == ("h.test", "our-project")


# Keys that are lent something.


class Borrower:
    """A key that shows what it is lent, which takes a second to get."""

    def __init__(self, *answers: str | None, life_s: float = 1000.0, wait_s: float = 1.0) -> None:
        self._answers = list(answers)
        self._life_s = life_s
        self._wait_s = wait_s
        self.asked = 0
        self.kept = Kept(self._fetch, name="p0")
        self.secrets = ("borrower",)

    async def _fetch(self) -> Lent[str]:
        self.asked += 1
        answer = self._answers.pop(0)
        await asyncio.sleep(self._wait_s)
        if answer is None:
            raise TokenError("no")
        return Lent(answer, self._life_s)

    def sign(self, url: str, body: bytes | None) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.kept.value}"}


def clock() -> float:
    return asyncio.get_running_loop().time()


def test_whoever_lacks_a_token_is_prepared_once_for_all_requests() -> None:
    async def story() -> None:
        one = Borrower("one")
        signing = Signing({"p0": [one], "p1": ["word"], "p2": [Borrower(None)], "p3": ()})
        assert signing.unready(["p3", "p0", "p1", "p0", "p9"], clock()) == ("p0",)
        began_at = clock()
        await asyncio.gather(*(signing.prepare(["p0", "p0", "p1"], clock()) for _ in range(9)))
        assert (one.asked, clock() - began_at) == (1, 1.0)
        assert signing.unready(["p0", "p1"], clock()) == ()
        assert tried(signing, "p0", clock()) == ["one"]
        await signing.prepare(["p0", "p1", "p3"], clock())
        assert clock() - began_at == 1.0

    play(story())


def test_a_wait_for_a_token_has_an_end_and_the_token_comes_all_the_same() -> None:
    async def story() -> None:
        slow = Borrower("slow", wait_s=9.5)
        signing = Signing({"p0": [slow]})
        task = asyncio.create_task(signing.prepare(["p0"], clock()))
        await asyncio.sleep(1)
        task.cancel()  # a caller that hung up
        began_at = clock()
        await signing.prepare(["p0"], clock())
        assert clock() - began_at == 8.5 < PREPARE_S
        assert (slow.asked, tried(signing, "p0", clock())) == (1, ["slow"])

    play(story())


def test_a_key_that_can_sign_goes_before_one_that_must_wait() -> None:
    async def story() -> None:
        lent = Borrower("lent")
        signing = Signing({"p0": [lent, "word"]})
        assert signing.unready(["p0"], clock()) == ()
        assert tried(signing, "p0", clock()) == ["word"]
        assert signing.ready("p0", clock())
        await asyncio.sleep(1.1)  # the first request has had it fetched
        assert sorted(tried(signing, "p0", clock())) == ["lent", "word"]
        assert lent.asked == 1

    play(story())


def test_where_no_token_comes_the_key_rests_and_says_so() -> None:
    async def story() -> None:
        signing = Signing({"p0": [Borrower(None, "two")]})
        (credential,) = signing.credentials("p0", clock())
        with pytest.raises(GatewayError) as caught:
            shown(credential)
        assert caught.value.kind == "provider_credential"
        assert not signing.all_refused("p0", clock()), "it may come yet"
        await signing.prepare(["p0"], clock())
        assert signing.all_refused("p0", clock())
        assert not signing.ready("p0", clock())
        assert signing.soonest_s("p0", clock()) == 10.0
        assert signing.unready(["p0"], clock()) == ()
        (credential,) = signing.credentials("p0", clock())
        signing.refused("p0", credential.number, clock())  # nothing was shown to be refused
        await asyncio.sleep(10)
        assert signing.ready("p0", clock())
        assert signing.unready(["p0"], clock()) == ("p0",)
        await signing.prepare(["p0"], clock())
        assert tried(signing, "p0", clock()) == ["two"]

    play(story())


def test_a_token_is_renewed_by_requests_and_serves_them_meanwhile() -> None:
    async def story() -> None:
        one = Borrower("one", "two", life_s=100.0)
        signing = Signing({"p0": [one]})
        await signing.prepare(["p0"], clock())
        await asyncio.sleep(80)
        assert tried(signing, "p0", clock()) == ["one"]
        assert signing.unready(["p0"], clock()) == ()
        await asyncio.sleep(1.1)
        assert tried(signing, "p0", clock()) == ["two"]
        await asyncio.sleep(100)
        assert signing.unready(["p0"], clock()) == ("p0",), "nobody asked in time"

    play(story())


def test_a_refused_token_is_not_shown_again() -> None:
    async def story() -> None:
        signing = Signing({"p0": [Borrower("one", "two")]})
        await signing.prepare(["p0"], clock())
        (credential,) = signing.credentials("p0", clock())
        assert shown(credential) == "Bearer one"
        signing.refused("p0", 0, clock())
        with pytest.raises(GatewayError):
            shown(credential)
        assert signing.all_refused("p0", clock())
        assert signing.unready(["p0"], clock()) == ()
        await asyncio.sleep(10)
        assert signing.unready(["p0"], clock()) == ("p0",), "the only key is worth a new token"
        await signing.prepare(["p0"], clock())
        assert tried(signing, "p0", clock()) == ["two"]
        signing.accepted("p0", 0)
        assert signing.ready("p0", clock())

    play(story())


def test_a_late_refusal_of_an_old_token_does_not_cost_the_new_one() -> None:
    async def story() -> None:
        signing = Signing({"p0": [Borrower("one", "two")]})
        await signing.prepare(["p0"], clock())
        asked_at = clock()  # two requests, of which one hears of it much later
        signing.refused("p0", 0, clock(), asked_at=asked_at)
        await asyncio.sleep(10)
        await signing.prepare(["p0"], clock())
        signing.accepted("p0", 0)
        signing.refused("p0", 0, clock(), asked_at=asked_at)
        assert tried(signing, "p0", clock()) == ["two"]
        assert signing.ready("p0", clock())
        signing.refused("p0", 0, clock(), asked_at=clock())
        assert not signing.ready("p0", clock())

    play(story())


def test_closing_gives_up_what_is_under_way() -> None:
    async def story() -> None:
        one = Borrower("one", "two")
        signing = Signing({"p0": [one, "word"]})
        next(signing.credentials("p0", clock()))
        await asyncio.sleep(0.5)
        await signing.close()
        await asyncio.sleep(1)
        assert not one.kept.good(clock())

    play(story())

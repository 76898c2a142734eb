"""One endpoint falls ill and recovers: every way into every state and out of it."""

from collections.abc import Callable

import pytest

from proxy.routing.condition import Condition, Outcome, Ticket
from proxy.routing.rules import Rules

GOOD, FAILED, LIMITED = Outcome.GOOD, Outcome.FAILED, Outcome.LIMITED
CREDENTIAL, CALLER, ABANDONED = Outcome.CREDENTIAL, Outcome.CALLER, Outcome.ABANDONED


class Patient:
    """A condition, and attempts at it in one line each."""

    def __init__(self, rules: Rules | None = None, rng: Callable[[], float] = lambda: 0.0) -> None:
        self.of = Condition(rules or Rules(), rng)

    def word(self, now: float) -> str:
        return self.of.look(now)[0]

    def weight(self, now: float) -> float:
        return self.of.look(now)[1]

    def begin(self, now: float, *, probe: bool = False, whole: bool = False) -> Ticket:
        return Ticket(self.of, now, probe, whole)

    def end(self, ticket: Ticket, outcome: Outcome, now: float, pause_s: float = 5.0) -> None:
        self.of.end(ticket, outcome, now, pause_s)

    def attempt(
        self, outcome: Outcome, now: float, *, took_s: float = 0.0, probe: bool = False
    ) -> None:
        ticket = self.begin(now - took_s, probe=probe)
        if outcome is GOOD:
            self.of.content(ticket, now, 0.0)
        self.end(ticket, outcome, now)

    def many(self, outcome: Outcome, count: int, now: float, *, took_s: float = 0.0) -> None:
        for _ in range(count):
            self.attempt(outcome, now, took_s=took_s)


def shut(at: float = 0.0, rules: Rules | None = None) -> Patient:
    patient = Patient(rules)
    patient.many(FAILED, 5, at)
    assert patient.word(at) == "out"
    return patient


def test_five_failures_in_a_row_shut_it() -> None:
    patient = Patient()
    patient.many(GOOD, 100, 0.0)
    patient.many(FAILED, 4, 0.0)
    assert patient.word(0.0) == "well"  # four of a hundred
    patient.attempt(FAILED, 0.0)
    assert patient.word(0.0) == "out"


def test_a_success_in_between_begins_the_row_again() -> None:
    patient = Patient()
    patient.many(GOOD, 100, 0.0)
    for _ in range(3):
        patient.many(FAILED, 4, 0.0)
        patient.attempt(GOOD, 0.0)
    assert patient.word(0.0) == "shaky"


def test_too_few_successes_shut_it_once_there_are_enough_samples() -> None:
    patient = Patient()
    patient.many(GOOD, 2, 0.0)
    patient.many(FAILED, 2, 0.0)
    assert patient.word(0.0) == "shaky"  # half, but of four
    patient.attempt(GOOD, 0.0)
    assert patient.word(0.0) == "shaky"
    patient.attempt(FAILED, 0.0)
    assert patient.word(0.0) == "out"


@pytest.mark.parametrize(
    ("good", "word"), [(0, "shaky"), (5, "shaky"), (8, "shaky"), (10, "well"), (1000, "well")]
)
def test_a_failure_is_significant_where_it_is_a_tenth(good: int, word: str) -> None:
    patient = Patient()
    patient.many(GOOD, good, 0.0)
    patient.attempt(FAILED, 0.0)
    assert patient.word(0.0) == word
    assert patient.of.troubled(29.9)
    assert not patient.of.troubled(30.0)
    assert (patient.word(29.9), patient.word(30.0)) == (word, "well")


def test_the_weight_of_the_shaky_is_its_success() -> None:
    patient = Patient()
    patient.many(GOOD, 3, 0.0)
    patient.attempt(FAILED, 0.0)
    assert patient.weight(0.0) == pytest.approx(0.75)
    one = Patient()
    one.attempt(FAILED, 0.0)
    assert one.weight(0.0) == 0.1


@pytest.mark.parametrize("outcome", [CREDENTIAL, CALLER, ABANDONED])
def test_what_says_nothing_changes_nothing(outcome: Outcome) -> None:
    patient = Patient()
    patient.many(outcome, 50, 0.0)
    assert patient.of.look(0.0) == ("well", 1.0, 0.0)
    assert patient.of.success(0.0) is None
    assert not patient.of.troubled(0.0)


def test_it_stays_out_longer_each_time_but_never_half_a_minute() -> None:
    patient, now = shut(), 0.0
    for out_s in (10.0, 20.0, 30.0, 30.0):
        assert patient.of.look(now + out_s - 0.01) == ("out", 0.0, 0.0)
        now += out_s
        assert patient.of.look(now) == ("probing", 1.0, 0.0)
        patient.attempt(FAILED, now, probe=True)


def test_chance_asks_it_earlier() -> None:
    patient = Patient(rng=lambda: 0.5)
    patient.many(FAILED, 5, 0.0)
    assert (patient.word(8.99), patient.word(9.0)) == ("out", "probing")


def test_after_slow_start_the_count_of_ejections_begins_again() -> None:
    patient = shut()
    patient.attempt(FAILED, 10.0, probe=True)  # 20 s
    patient.attempt(GOOD, 30.0, probe=True)
    patient.many(FAILED, 5, 59.0)
    assert patient.word(88.9) == "out"  # 30 s: it was still in slow start
    patient.attempt(GOOD, 89.0, probe=True)
    patient.many(FAILED, 5, 119.0)
    assert (patient.word(128.9), patient.word(129.0)) == ("out", "probing")


def test_one_probe_opens_it_slowly() -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True)
    assert patient.of.look(10.0) == ("probing", 0.0, 1 / 1024)
    patient.end(probe, GOOD, 11.0)
    assert patient.of.look(11.0)[:2] == ("recovering", 0.1)
    assert patient.of.look(26.0)[:2] == ("recovering", 0.5)
    assert patient.of.look(40.9)[0] == "recovering"
    assert patient.of.look(41.0) == ("well", 1.0, 0.0)
    assert patient.of.success(11.0) == 1.0  # the failures before are no news


def test_a_probe_that_streams_on_is_good_after_a_while() -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True)
    patient.of.content(probe, 11.0, 0.0)
    assert patient.word(20.9) == "probing"
    assert patient.word(21.0) == "recovering"
    patient.end(probe, FAILED, 22.0)  # one failure of a slow starter, not of a probe
    assert patient.word(22.0) == "shaky"
    assert patient.of.in_flight == 0


def test_a_probe_that_ends_late_was_good_before() -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True)
    patient.of.content(probe, 11.0, 0.0)
    patient.end(probe, FAILED, 30.0)
    assert patient.word(30.0) == "shaky"


def test_a_probe_that_breaks_after_content_failed() -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True)
    patient.of.content(probe, 11.0, 0.0)
    patient.end(probe, FAILED, 12.0)
    assert (patient.word(29.9), patient.word(30.0)) == ("out", "probing")


def test_a_429_keeps_the_door_of_a_probe_shut() -> None:
    patient = shut()
    patient.end(patient.begin(10.0, probe=True), LIMITED, 10.0, 40.0)
    assert patient.of.look(49.9)[:2] == ("out", 0.0)
    assert patient.of.look(50.0)[:2] == ("probing", 1.0)


@pytest.mark.parametrize("outcome", [CREDENTIAL, CALLER, ABANDONED])
def test_a_probe_that_says_nothing_is_soon_repeated(outcome: Outcome) -> None:
    patient = shut()
    patient.attempt(outcome, 10.0, probe=True)
    assert (patient.word(14.9), patient.word(15.0)) == ("out", "probing")


def test_a_probe_whose_caller_hangs_up_after_content_is_good() -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True)
    patient.of.content(probe, 11.0, 0.0)
    patient.end(probe, ABANDONED, 12.0)
    assert patient.word(12.0) == "recovering"
    assert patient.of.success(12.0) is None


def test_a_probe_that_loses_its_race_by_silence_failed() -> None:
    patient = Patient()
    patient.many(GOOD, 30, 0.0, took_s=1.0)
    patient.many(FAILED, 5, 0.0)
    patient.attempt(ABANDONED, 12.0, took_s=2.0, probe=True)
    assert (patient.word(29.9), patient.word(30.0)) == ("out", "probing")


@pytest.mark.parametrize("whole", [False, True])
def test_a_silent_probe_gives_up_its_place(whole: bool) -> None:
    """As if it had failed when it began: else a dead connection would keep it out for minutes."""
    patient = shut()
    probe = patient.begin(10.0, probe=True, whole=whole)
    assert patient.word(14.9) == "probing"
    assert (patient.word(15.0), patient.word(29.9)) == ("out", "out")
    assert patient.of.look(30.0)[:2] == ("probing", 1.0)
    second = patient.begin(30.0, probe=True, whole=whole)
    patient.end(probe, FAILED, 31.0)  # its failure was reckoned with
    assert patient.of.look(31.0)[:2] == ("probing", 0.0)
    patient.end(second, GOOD, 33.0)
    assert patient.word(33.0) == "recovering"


@pytest.mark.parametrize("by", ["content", "end"])
def test_a_probe_that_gave_up_its_place_is_heard_when_it_speaks(by: str) -> None:
    patient = shut()
    probe = patient.begin(10.0, probe=True, whole=by == "end")
    assert patient.word(20.0) == "out"
    if by == "content":
        patient.of.content(probe, 21.0, 0.0)
        assert patient.word(21.0) == "out"
    patient.end(probe, GOOD, 22.0)
    assert patient.word(22.0) == "recovering"


def test_a_probe_that_nobody_looked_at_meanwhile_failed_when_it_began() -> None:
    patient = shut()
    patient.end(patient.begin(10.0, probe=True), FAILED, 70.0)
    assert patient.of.look(70.0)[:2] == ("probing", 1.0)


def test_silence_in_a_row_is_a_failure() -> None:
    patient = Patient()
    patient.many(GOOD, 30, 0.0, took_s=1.0)
    patient.many(ABANDONED, 50, 0.0, took_s=0.9)
    patient.many(ABANDONED, 4, 0.0, took_s=1.3)
    patient.attempt(GOOD, 0.0)
    patient.many(ABANDONED, 4, 0.0, took_s=1.3)
    assert patient.word(0.0) == "well"
    patient.attempt(ABANDONED, 0.0, took_s=1.3)
    assert patient.word(0.0) == "out"


def test_a_call_that_is_not_streamed_is_not_silent_and_teaches_no_times() -> None:
    patient = Patient()
    for _ in range(30):
        patient.end(patient.begin(0.0, whole=True), ABANDONED, 60.0)
        good = patient.begin(0.0, whole=True)
        patient.of.content(good, 60.0, 0.0)
        patient.end(good, GOOD, 60.0)
    patient.end(patient.begin(0.0, whole=True), FAILED, 60.0)
    assert patient.word(60.0) == "well"
    assert patient.of.learned_s(0.5) is None


def test_what_began_before_it_was_shut_is_no_news() -> None:
    patient = Patient()
    waiting = [patient.begin(0.0) for _ in range(100)]
    patient.many(FAILED, 5, 1.0)
    for ticket in waiting[:50]:
        patient.end(ticket, FAILED, 5.0)
    patient.end(waiting[50], GOOD, 5.0)
    assert patient.word(10.9) == "out"
    patient.attempt(GOOD, 11.0, probe=True)
    for ticket in waiting[51:]:
        patient.of.content(ticket, 12.0, 0.0)
        patient.end(ticket, FAILED, 12.0)
    assert patient.word(12.0) == "recovering"
    assert (patient.of.in_flight, patient.of.success(12.0)) == (0, 1.0)


def test_in_panic_a_success_opens_it_and_a_failure_is_only_counted() -> None:
    patient = shut()
    patient.many(FAILED, 20, 1.0)
    assert (patient.word(9.9), patient.word(10.0)) == ("out", "probing")
    patient.many(ABANDONED, 20, 1.0, took_s=60.0)
    assert patient.word(1.0) == "out"
    patient.attempt(GOOD, 2.0)
    assert patient.word(2.0) == "recovering"


def test_a_429_is_a_pause_and_no_failure() -> None:
    patient = Patient()
    patient.many(GOOD, 10, 0.0)
    patient.end(patient.begin(0.0), LIMITED, 0.0, 7.0)
    assert patient.of.look(6.9) == ("limited", 0.0, 0.0)
    assert patient.of.look(7.0)[0] == "well"
    assert patient.of.success(0.0) == 1.0
    assert patient.of.troubled(1.0)


@pytest.mark.parametrize(
    ("said_s", "pause_s"), [(0.0, 1.0), (-5.0, 1.0), (float("nan"), 1.0), (30.0, 30.0), (9e9, 60.0)]
)
def test_a_pause_is_neither_nothing_nor_for_ever(said_s: float, pause_s: float) -> None:
    patient = Patient()
    patient.end(patient.begin(0.0), LIMITED, 0.0, said_s)
    assert (patient.word(pause_s - 0.01), patient.word(pause_s)) == ("limited", "well")


def test_the_longer_pause_holds() -> None:
    patient = Patient()
    patient.end(patient.begin(0.0), LIMITED, 0.0, 30.0)
    patient.end(patient.begin(0.0), LIMITED, 1.0, 5.0)
    assert patient.word(29.9) == "limited"


def test_times_are_learned_from_enough_answers_less_our_own_lag() -> None:
    patient = Patient()
    for number in range(20):
        assert patient.of.learned_s(0.95) is None, number
        ticket = patient.begin(0.0)
        patient.of.content(ticket, 1.5, 0.5)
        patient.end(ticket, GOOD, 1.5)
    assert 1.0 <= (patient.of.learned_s(0.95) or 0.0) <= 1.2


def test_a_wait_cut_short_is_learned_from_a_quick_failure_is_not() -> None:
    patient = Patient()
    patient.many(GOOD, 100, 0.0, took_s=1.0)
    patient.many(FAILED, 4, 0.0, took_s=0.1)
    patient.many(GOOD, 1, 0.0, took_s=1.0)
    assert (patient.of.learned_s(0.99) or 9.9) <= 1.2
    assert patient.of.first_content.samples == 101
    patient.many(FAILED, 4, 0.0, took_s=5.0)
    assert (patient.of.learned_s(0.99) or 0.0) >= 5.0


def test_speed_is_tokens_between_first_content_and_end() -> None:
    patient = Patient()
    ticket = patient.begin(0.0)
    patient.of.note_speed(ticket, 2.0, 11)  # no content
    patient.of.content(ticket, 1.0, 0.0)
    patient.of.note_speed(ticket, 1.0, 11)  # no time
    patient.of.note_speed(ticket, 2.0, 1)  # no interval
    speeds = [patient.of.throughput_tps]
    for tokens in (11, 21):
        patient.of.note_speed(ticket, 2.0, tokens)
        speeds.append(patient.of.throughput_tps)
    assert speeds == [None, 10.0, pytest.approx(11.0)]


def answer(patient: Patient, now: float, took_s: float, count: int) -> None:
    """`count` answers at once, all of them under way together."""
    tickets = [patient.begin(now - took_s) for _ in range(count)]
    for ticket in tickets:
        patient.of.content(ticket, now, 0.0)
    for ticket in tickets:
        patient.end(ticket, GOOD, now)


def test_room_shrinks_where_load_makes_it_slow_and_grows_again() -> None:
    patient = Patient()
    for second in range(100):
        answer(patient, float(second), 0.2, 20)
    assert patient.of.cap == 1024
    for second in range(100, 110):
        answer(patient, float(second), 3.0, 200)
    assert 4 <= patient.of.cap <= 180
    least = patient.of.cap
    for second in range(150, 160):
        answer(patient, float(second), 0.2, 200)
    assert patient.of.cap > least + 100
    assert patient.of.look(160.0)[2] == 0.0


def test_room_has_a_least_and_a_most() -> None:
    patient = Patient()
    for second in range(100):
        answer(patient, float(second), 0.01, 1)
    for second in range(100, 140):
        answer(patient, float(second), 30.0, 1)
    assert patient.of.cap == 4
    small = Patient(Rules(cap_start=4, cap_max=6))
    answer(small, 0.0, 0.1, 50)
    assert small.of.cap == 6

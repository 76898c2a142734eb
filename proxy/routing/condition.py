"""The condition of one endpoint: shut by failures, opened by one probe, coming back slowly.

It is judged by attempts that began since it was last shut or opened: a hundred requests that were
already waiting for it when it died are one piece of news, not a hundred. A 429 is no failure, only
a pause.
"""

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Final

from proxy.routing.figures import Mean, Spread
from proxy.routing.history import History
from proxy.routing.rules import Rules

NEVER: Final = -inf
SPEED_SHARE: Final = 0.1  # of the latest answer in the mean

Look = tuple[str, float, float]
"""The word for an endpoint, its weight, its load (attempts under way as a share of its cap)."""


class Outcome(Enum):
    """What the end of an attempt says of its endpoint."""

    GOOD = "good"
    FAILED = "failed"
    LIMITED = "limited"  # 429
    CREDENTIAL = "credential"  # the fault of one of our keys: nothing
    CALLER = "caller"  # the request was refused: nothing
    ABANDONED = "abandoned"  # hang-up, lost race, a fault of ours: nothing, unless long silent


_TELLING: Final = frozenset((Outcome.GOOD, Outcome.FAILED, Outcome.LIMITED))
"""What counts for an endpoint's uptime."""


class Ticket:
    """One attempt under way, counted there from now on until its `end`; `probe` where it alone
    decides whether its endpoint comes back.
    """

    __slots__ = ("began_at", "content_at", "ended", "epoch", "of", "probe", "took_s", "whole")

    def __init__(self, of: "Condition", now: float, probe: bool, whole: bool) -> None:
        self.probe = probe
        self.whole = whole  # not streamed
        self.of = of
        self.began_at = now
        self.content_at: float | None = None
        self.took_s = 0.0  # to the first content of what is streamed
        self.ended = False
        self.epoch = of.epoch
        of.in_flight += 1
        if probe:
            of.probe = self


class Condition:
    """What is known of one endpoint. `rng` spreads the times at which it is asked again."""

    def __init__(self, rules: Rules, rng: Callable[[], float]) -> None:
        self._rules = rules
        self._rng = rng
        self.epoch = 0  # counts the times it was shut and opened
        self.in_flight = 0
        self.cap = float(rules.cap_start)
        self.first_content = Spread(rules.learned_samples)
        self.throughput_tps: float | None = None
        self.history = History()
        self.calls = Mean(rules.calls_window_s)  # 1 or 0 of each answer that called tools
        self.trouble_at = NEVER  # the last failure or 429
        self.limited_until = NEVER  # by its wish, or as a guess where it told none
        self.asked_until = NEVER  # by its wish alone
        self._went_well = Mean(rules.success_window_s)  # 1 or 0 of each attempt
        self._in_a_row = 0
        self._silent = 0
        self._ejections = 0
        self._out_until: float | None = None  # None: it is not shut
        self.probe: Ticket | None = None
        self._opened_at = NEVER
        self._slow_until = NEVER
        self._shaky_until = NEVER
        self.calm_at = NEVER  # nothing is wrong with it from then on
        self._fitted_at = NEVER
        self._recent = Mean(rules.cap_recent_s)
        self._usual = Mean(rules.cap_usual_s)

    def look(self, now: float) -> Look:
        """How it is doing at `now`."""
        load = self.in_flight / self.cap
        if now >= self.calm_at:
            return "well", 1.0, load
        self._pass_probe(now)
        if self._out_until is not None:
            if self.probe is not None:
                return "probing", 0.0, load
            if now >= self._out_until and now >= self.limited_until:
                return "probing", 1.0, load
            return "out", self.success(now) or 0.0, load
        if now < self.limited_until:
            return "limited", 0.0, load
        if now < self._slow_until:
            return "recovering", self._ramp(now), load
        return "shaky", max(self._rules.slow_start_share, self.success(now) or 0.0), load

    def success(self, now: float) -> float | None:
        """The share of attempts that went well lately; None where nothing did or did not."""
        return self._went_well.value(now) if self._went_well.count(now) else None

    def learned_s(self, percentile: float) -> float | None:
        """The first-content time that `percentile` of its answers keep; None of too few."""
        if self.first_content.samples < self._rules.learned_samples_min:
            return None
        return self.first_content.percentile_s(percentile)

    def troubled(self, now: float) -> bool:
        """Whether an attempt there is one of those that feed a storm."""
        return self._out_until is not None or now < self.trouble_at + self._rules.shaky_s

    def content(self, ticket: Ticket, now: float, lag_s: float) -> None:
        ticket.content_at = now
        if ticket.epoch == self.epoch:
            self._silent = 0
        if not ticket.whole:
            ticket.took_s = took_s = max(0.0, now - ticket.began_at - lag_s)
            self.first_content.add(took_s)
            self._fit(now, took_s)

    def end(
        self, ticket: Ticket, outcome: Outcome, now: float, retry_after_s: float | None
    ) -> None:
        self.in_flight -= 1
        if outcome in _TELLING:
            self.history.ended(now, good=outcome is Outcome.GOOD)
        mine = False
        if self.probe is not None:
            self._pass_probe(now)
            mine = self.probe is ticket
        if mine:
            self.probe = None
        if outcome is Outcome.LIMITED:
            self._limited(now, retry_after_s)
        elif outcome is Outcome.FAILED:
            self._failed(ticket, now, probed=mine)
        elif ticket.epoch == self.epoch:
            good, spoke = outcome is Outcome.GOOD, ticket.content_at is not None
            if self._out_until is not None and (good or spoke):
                self._open(ticket, now)
            if good:
                self._went_well.add(now, 1.0)
                self._in_a_row = 0
            elif not spoke:
                silent = outcome is Outcome.ABANDONED and self._was_silent(ticket, now)
                self._left(ticket, now, silent=silent, probed=mine)

    def note_speed(self, ticket: Ticket, now: float, tokens: int) -> None:
        """Tokens per second between the first content and the end of a good answer."""
        began_at = ticket.content_at
        if began_at is None:
            return
        tps = None
        if tokens > 1 and now > began_at:
            tps = (tokens - 1) / (now - began_at)
            known = self.throughput_tps
            self.throughput_tps = tps if known is None else known + (tps - known) * SPEED_SHARE
        if not ticket.whole:
            self.history.answered(now, ticket.took_s, tps)

    def _limited(self, now: float, retry_after_s: float | None) -> None:
        rules = self._rules
        said_s = rules.limited_s if retry_after_s is None else retry_after_s
        until = now + min(max(rules.limited_s_min, said_s), rules.limited_s_max)
        self.limited_until = max(self.limited_until, until)
        if retry_after_s is not None:
            self.asked_until = max(self.asked_until, until)
        self.trouble_at = now
        self._note_calm()

    def _failed(self, ticket: Ticket, now: float, *, probed: bool) -> None:
        if ticket.content_at is None and not ticket.whole:
            self._learn_limit(now - ticket.began_at)
        if ticket.epoch != self.epoch:
            return
        rules = self._rules
        self.trouble_at = now
        success = self._went_well.add(now, 0.0)
        if self._out_until is not None:
            if probed:
                self._eject(ticket.began_at)
            return
        self._in_a_row += 1
        attempts = self._went_well.count(now)
        bad = success < rules.success_share_min and attempts >= rules.success_samples_min
        if bad or self._in_a_row >= rules.failures_in_a_row:
            self._eject(now)
        elif success < rules.steady_share_min:
            self._shaky_until = now + rules.shaky_s
            self._slow_until = min(self._slow_until, now)
            self._note_calm()

    def _left(self, ticket: Ticket, now: float, *, silent: bool, probed: bool) -> None:
        """Nobody waits any more, nothing came. A single silence is chance, a row of them is not:
        a hanging provider that always loses its race would else never be found out.
        """
        if self._out_until is None:
            self._silent += silent
            if self._silent >= self._rules.failures_in_a_row:
                self.trouble_at = now
                self._eject(now)
        elif probed and silent:
            self._eject(ticket.began_at)
        elif probed:
            self._out_until = now + self._rules.probe_again_s

    def _was_silent(self, ticket: Ticket, now: float) -> bool:
        if ticket.whole:
            return False
        usual_s = self.learned_s(self._rules.hedge_percentile)
        waited_s = now - ticket.began_at
        return waited_s >= (self._rules.silent_s if usual_s is None else usual_s)

    def _learn_limit(self, waited_s: float) -> None:
        """A wait cut short at the learned deadline was at least so long: without it, an endpoint
        that became slower for good would be cut for ever.
        """
        usual_s = self.learned_s(self._rules.limit_percentile)
        if usual_s is not None and waited_s >= usual_s:
            self.first_content.add(waited_s)

    def _eject(self, at: float) -> None:
        if self._out_until is None and at >= self._opened_at + self._rules.slow_start_s:
            self._ejections = 0
        self._stay_out(at)
        self.epoch += 1

    def _stay_out(self, at: float) -> None:
        """For a while from `at`, when it was last asked: it may have healed right after."""
        rules = self._rules
        self._ejections += 1
        out_s = min(rules.out_s * self._ejections, rules.out_s_max)
        self._out_until = at + out_s * (1.0 - rules.out_jitter * self._rng())
        self.calm_at = inf

    def _pass_probe(self, now: float) -> None:
        """A probe need not end: an answer may take longer than anybody wants to wait for it. One
        that is silent, perhaps on a connection that died, gives up its place, but is still heard
        if it speaks after all: answers that are not streamed take their time.
        """
        probe, rules = self.probe, self._rules
        if probe is None:
            return
        if probe.content_at is not None:
            if now >= probe.content_at + rules.probe_stream_s:
                self._open(probe, now)
        elif now >= probe.began_at + rules.probe_silent_s:
            self.probe = None
            self._stay_out(probe.began_at)

    def _open(self, ticket: Ticket, now: float) -> None:
        """Back in service; `ticket` is the first attempt by which it is judged from now on."""
        self._out_until = self.probe = None
        self.epoch += 1
        ticket.epoch = self.epoch
        self._went_well = Mean(self._rules.success_window_s)
        self._in_a_row = self._silent = 0
        self._opened_at = now
        self._slow_until = now + self._rules.slow_start_s
        self._note_calm()

    def _note_calm(self) -> None:
        calm_at = max(self.limited_until, self._slow_until, self._shaky_until)
        self.calm_at = calm_at if self._out_until is None else inf

    def _ramp(self, now: float) -> float:
        rules = self._rules
        return max(rules.slow_start_share, (now - self._opened_at) / rules.slow_start_s)

    def _fit(self, now: float, took_s: float) -> None:
        """More under way as long as it answers as quickly as ever, markedly less when it does not.
        Means are compared, because prompts differ more than loads do; what is usual is sampled by
        time, so that a rush of slow answers does not make itself the usual.
        """
        rules = self._rules
        recent_s = self._recent.add(now, took_s)
        slow_s = self._usual.value(now) * rules.cap_slow_factor + rules.cap_slow_s
        slow = recent_s > slow_s and self._usual.count(now) >= rules.learned_samples_min
        if now >= self._fitted_at + rules.cap_every_s:
            self._fitted_at = now
            self._usual.add(now, recent_s)
            if slow:
                cut = min(self.cap, self.in_flight) * rules.cap_cut_share
                self.cap = max(float(rules.cap_min), cut)
        if not slow and self.in_flight * 2 >= self.cap:
            self.cap = min(self.cap + 1.0, float(rules.cap_max))

"""The numbers by which endpoints are judged: when shut, opened, preferred, waited for."""

import msgspec


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """Shares are of 1, windows fade: what is a window old counts 1/e."""

    failures_in_a_row: int = 5
    success_share_min: float = 0.8
    success_window_s: float = 30.0
    success_samples_min: float = 5.0
    steady_share_min: float = 0.9  # a failure is significant that leaves less than this
    shaky_s: float = 30.0
    out_s: float = 10.0  # times the number of ejections in a row
    out_s_max: float = 30.0  # whoever has healed is asked within this
    probe_silent_s: float = 5.0  # a probe without content keeps others away no longer
    out_jitter: float = 0.2
    probe_again_s: float = 5.0  # after a probe that said nothing
    probe_stream_s: float = 10.0  # a probe that has streamed so long is good, before it ends
    slow_start_s: float = 30.0
    slow_start_share: float = 0.1
    silent_s: float = 5.0  # as long as nobody knows how long it usually takes
    limited_s: float = 5.0
    limited_s_min: float = 1.0
    limited_s_max: float = 60.0
    retry_share: float = 0.2
    retry_reserve_per_s: float = 1.0
    retry_window_s: float = 10.0
    hedge_window_s: float = 600.0
    learned_samples: int = 500
    learned_samples_min: int = 20
    hedge_percentile: float = 0.95
    limit_percentile: float = 0.99
    limit_factor: float = 3.0
    limit_s_min: float = 5.0
    cap_start: int = 1024
    cap_min: int = 4
    cap_max: int = 65_536
    cap_cut_share: float = 0.9
    cap_every_s: float = 1.0
    cap_slow_factor: float = 2.0
    cap_slow_s: float = 0.25
    cap_recent_s: float = 10.0
    cap_usual_s: float = 600.0
    calls_window_s: float = 3600.0  # by which it is judged how an endpoint calls tools

"""What counts as a count: providers write numbers that are none, and the books have to hold."""

from typing import Final

COUNT_MAX: Final = 2**31
"""No answer has more tokens; what a provider counts beyond is absurd and would not fit the books,
whose amounts have 64 bits."""


def usable(value: object) -> int | None:
    """The count that a provider gave; None where it is missing, negative, absurd or no number.
    `12.0` is 12: some schemas say `number`.
    """
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= COUNT_MAX else None


def count(value: object) -> int:
    """The same, with 0 for what is no count."""
    if type(value) is int:  # as nearly all are
        return value if 0 <= value <= COUNT_MAX else 0
    return 0 if value is None else usable(value) or 0

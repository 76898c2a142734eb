"""What is wrong with a value of a request, for people: the field, and what was expected of it."""

import re
from typing import Final

_WORDS: Final = {
    "array": "a list",
    "bool": "true or false",
    "decimal": "a number",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "a string",
}
"""JSON's types as people call them, by msgspec's names."""

BODY: Final = "The body"
"""What is said of a value that is no field of another."""

_GOT: Final = {"bool": "a boolean", "float": "a decimal number", "int": "a number"}


def explained(error: str, within: str = "") -> str:
    """The message of a `msgspec.ValidationError` in plain words, without anything of what the
    caller wrote; `within` is the field whose value was checked, if it was not the whole body.
    """
    reason, _, path = error.rpartition(" - at ")
    if not reason:
        reason, path = error, "$"
    path = f"{within}.{path.strip('`').removeprefix('$').removeprefix('.')}".strip(".")
    quoted = re.findall(r"`([^`]*)`", reason)
    if reason.startswith("Expected"):
        expected = [_WORDS[name] for name in quoted[0].split(" | ") if name != "null"]
        got = _GOT.get(quoted[1]) or _WORDS[quoted[1]]
        return f"{path or BODY}: expected {' or '.join(dict.fromkeys(expected))}, got {got}"
    if reason.startswith("Object missing"):
        return f"{path}.{quoted[0]}: required".lstrip(".")
    if reason.startswith("Object contains unknown"):  # and goes on with the caller's own text
        return f"{path or BODY}: has a field that is not known"
    if reason.startswith("Invalid"):
        return f"{path}: none of the values it can have"
    return f"{path}: {reason.lower()}"

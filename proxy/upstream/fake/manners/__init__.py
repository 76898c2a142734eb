"""Answers and errors of every dialect, with the keys and the key order of recorded traffic."""

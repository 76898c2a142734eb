"""Requests of every dialect, read into what they ask for, and refused where the real one would."""

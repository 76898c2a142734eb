"""Transcription: a recording becoming text, with whatever belongs to it."""

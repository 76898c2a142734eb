"""Weir: a self-hosted, OpenRouter-compatible gateway in front of every model provider."""

__version__ = "0.1.0"

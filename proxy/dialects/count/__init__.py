"""Counting a prompt: what callers of Messages are told, and how each provider is asked."""

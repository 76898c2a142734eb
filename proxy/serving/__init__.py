"""The callers: listening, guarding, and speaking ASGI."""

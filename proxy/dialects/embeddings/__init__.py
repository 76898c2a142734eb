"""Embeddings: the request and answer that callers speak, and what each provider makes of them."""

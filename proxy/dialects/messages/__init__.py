"""Anthropic's Messages, at Anthropic itself and at Vertex."""

"""OpenAI's chat completions: what callers of OpenRouter speak, and most providers."""

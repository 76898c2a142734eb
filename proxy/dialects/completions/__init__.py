"""OpenAI's text completions: a prompt without turns, which a model continues."""

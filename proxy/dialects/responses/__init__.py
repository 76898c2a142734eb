"""OpenAI's Responses, as a client of it."""

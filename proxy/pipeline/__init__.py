"""The story of one request, and the only place that knows both caller and provider."""

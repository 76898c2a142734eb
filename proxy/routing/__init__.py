"""Where to? Which endpoints have a model, and in which order to try them. Pure."""

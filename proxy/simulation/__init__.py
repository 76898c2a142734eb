"""The house under a seeded clock, network and disk, with its money checked at every step."""

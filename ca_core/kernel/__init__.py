"""The only code that every server package shares: clock, rng, errors, settings, database, web kit."""

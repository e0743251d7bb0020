"""The authorization endpoint: a request checked, an interaction with the citizen, a code."""

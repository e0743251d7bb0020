"""A sample relying party: what an agency writes to log a citizen in, with Authlib as its OpenID Connect client."""

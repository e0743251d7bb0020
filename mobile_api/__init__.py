"""A citizen's phone as an authenticator and a signing device, and the API that agencies already call."""

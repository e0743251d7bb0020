"""The token endpoint: a code redeemed at most once for an access token and an ID token."""

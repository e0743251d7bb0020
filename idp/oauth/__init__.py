"""What all OAuth and OpenID Connect endpoints here share: errors and their mapper, scopes, hashes, subjects."""

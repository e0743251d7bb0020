"""Logging out, at the wish of a relying party or of the person.  Spec: OpenID Connect RP-Initiated Logout 1.0."""

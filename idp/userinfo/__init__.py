"""The UserInfo endpoint: claims about the person, to whoever holds an access token.  Spec: OpenID Connect Core s5.3."""

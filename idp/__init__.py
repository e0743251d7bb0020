"""The OpenID Provider: login pages, protocol endpoints, sessions, consent, and the wiring of all roles."""

"""Relying parties: who may ask for logins, where the answers go, and how each proves itself at the token endpoint."""

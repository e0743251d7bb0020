"""The certification authority: issuance, status, validation, and the statement that a citizen signs."""

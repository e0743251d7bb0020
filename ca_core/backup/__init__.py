"""Backups, the journal in the second place, restoring and its drill (docs/adr/0010)."""

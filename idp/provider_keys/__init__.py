"""The provider's own signing keys: ID tokens are signed and recognised with them, and their public halves published."""

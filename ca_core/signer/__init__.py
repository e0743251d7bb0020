"""The `ca` role's port: the one process with the authorities' keys, and how the other roles ask it to sign."""

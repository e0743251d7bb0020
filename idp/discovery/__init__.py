"""What relying parties' software reads first: the provider's metadata and keys."""

"""What a person allowed which client to be told."""

"""ISO 7816-4 commands, answers and data objects, without any input or output."""

"""The bridge's own window: who asks, what for, the code to compare, the PIN."""

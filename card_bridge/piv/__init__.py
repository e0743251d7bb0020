"""The PIV card: what it holds, how it is asked, and the adapters that reach it."""

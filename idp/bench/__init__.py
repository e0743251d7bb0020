"""Figures: our servers as real processes, driven by one lean client beside a yardstick in the same run."""

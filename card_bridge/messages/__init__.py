"""Every text that a person sees, in Traditional Chinese and English."""

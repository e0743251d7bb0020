"""One operation at a time between a page, a person and a card."""

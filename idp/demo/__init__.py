"""A complete country on one machine: authorities, citizens with cards, a bridge, and a relying party to log in to."""

"""The program on the citizen's PC that talks to the card. It imports none of the server packages."""

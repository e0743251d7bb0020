"""The Web eID authentication token: origin grammar, what is signed, how it is written."""

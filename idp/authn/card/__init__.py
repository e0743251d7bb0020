"""Login with an IC card: a Web eID token over a statement."""

"""Login sessions: a browser that holds the cookie is logged in, for as long as the certificate behind it is good."""

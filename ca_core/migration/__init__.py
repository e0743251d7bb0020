"""Moving in: an existing CA's authorities, holders, certificates and revocation lists, from files."""

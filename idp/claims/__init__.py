"""A person's claims: what the records hold, in the form relying parties get it."""

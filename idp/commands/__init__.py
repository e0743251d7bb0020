"""`citizenid …`: operations on a deployment, each a thin layer over a service."""

"""The loopback server: what may reach it, the modern API, its event stream."""

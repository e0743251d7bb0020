"""Where everything is wired: settings in, services and the application out. Nothing else constructs a service."""

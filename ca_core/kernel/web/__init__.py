"""What every HTTP surface shares: bounded bodies, strict forms, problem details, pages, cookies, CSRF, headers."""

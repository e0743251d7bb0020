"""The provider's signed statement: what the person is about to sign, verified before anything is shown."""

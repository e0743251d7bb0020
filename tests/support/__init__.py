"""What the tests stand on: fakes of time and chance, own servers, own tokens, processes that end with the test."""

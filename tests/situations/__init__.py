"""The four situations that the package works in: scripts, and the tests that run them."""

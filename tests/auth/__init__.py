"""What the tests of authentication share."""

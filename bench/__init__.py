"""What operations cost, measured by hand: nothing here runs in the test suite."""

"""The same storage over HTTP."""

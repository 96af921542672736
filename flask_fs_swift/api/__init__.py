"""The same storage over HTTP, by the objectstore protocol: a server, and a client of it."""

"""The same storage over HTTP: the objectstore protocol, for its server and its clients."""

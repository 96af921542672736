"""The client: it speaks to a server, imports none, and needs no Flask."""

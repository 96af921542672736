"""A fuzz campaign of the HTTP/1.1 transport, judged by readers that share no code with it.

A case is one borrower's few requests and, byte for byte, what the server says to each. It
is made from two numbers, the campaign's seed and its own index, and from nothing else.
"""

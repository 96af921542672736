"""The server: a blueprint over the files of a storage, and the commands of its operators."""

"""The plugin, behind the real flask-fs2, on a real Swift."""

"""The example in a real browser: by hand, with ``pytest -m browser``; it needs Chromium."""

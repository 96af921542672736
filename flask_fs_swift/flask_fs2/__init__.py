"""The plugin of flask-fs2: its storages on Swift, in its group ``fs.backend`` as ``openstack``."""

from .backend import OpenStackBackend

__all__ = ["OpenStackBackend"]

"""A real Swift in one process, for development and tests."""

from .control import Faults
from .errors import DevServerError
from .faults import Fault
from .launcher import DevServer
from .requestlog import LoggedRequest

__all__ = ["DevServer", "DevServerError", "Fault", "Faults", "LoggedRequest"]

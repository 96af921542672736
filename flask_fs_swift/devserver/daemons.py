"""Do on demand what Swift's background daemons would have done by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swift.common.utils import get_logger
from swift.container.updater import ContainerUpdater
from swift.obj.expirer import ObjectExpirer

if TYPE_CHECKING:
    from .conf import Configuration


class Daemons:
    """The daemons that what clients can see depends on: account statistics, expiry."""

    def __init__(self, configuration: Configuration) -> None:
        self._updater = ContainerUpdater(
            configuration.defaults | {"containers_per_second": "1000"},
            logger=get_logger(configuration.defaults, log_route="container-updater"),
        )
        self._expirer = ObjectExpirer(
            configuration.defaults
            | {
                "interval": "1",
                "tasks_per_second": "1000",
                "internal_client_conf_path": str(configuration.internal_client),
            },
            logger=get_logger(configuration.defaults, log_route="object-expirer"),
        )

    def run_once(self) -> None:
        """Bring account statistics up to date and delete what has expired."""
        # The expirer finds its work in listings, and leaves statistics behind that lag again.
        self._updater.run_once()
        self._expirer.run_once()
        self._updater.run_once()

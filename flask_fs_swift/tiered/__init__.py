"""Small objects in SQL, large ones in Swift, under one name space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .backend import TieredBackend
from .database import Database
from .leases import Lease
from .recovery import Recovery
from .rows import Rows

if TYPE_CHECKING:
    from flask_fs_swift.backend import Blobs
    from flask_fs_swift.config import SwiftSettings, TieredSettings


def in_two_tiers(
    blobs: Blobs, swift: SwiftSettings, tiered: TieredSettings, databases: dict[str, Database]
) -> TieredBackend:
    """Return a backend whose large objects are in another one.

    :param databases: those that others use, by URL; this one's is added.
    """
    database = databases.get(tiered.database)
    if database is None:
        database = databases[tiered.database] = Database(
            tiered.database,
            swift.retrying,
            width=swift.login.pool_size,
            create=tiered.is_own,
        )
    rows = Rows(database, swift.container)
    lease = Lease(rows.log, tiered.lease)
    return TieredBackend(
        rows,
        blobs,
        lease,
        Recovery(rows, blobs, lease, tiered.recovery_interval),
        threshold=tiered.threshold,
        lifetime=tiered.upload_lifetime,
    )

"""A service by the objectstore protocol. How to run it is said in ``README.md``.

Flask reads the setting ``FS_SWIFT_AUTHURL`` from the variable ``FLASK_FS_SWIFT_AUTHURL``, and
so on. ``SERVICE_KEYS`` is the folder of the keys that it trusts.
"""

from datetime import timedelta

from flask import Flask

from flask_fs_swift import ALL, FS, Storage
from flask_fs_swift.api import objectstore
from flask_fs_swift.api.expiration import Policy

#: What the writers of a usecase may choose. Those that are not named choose freely.
USECASES = {"previews": Policy(frozenset({"ttl", "tti"}), {"ttl": timedelta(days=30)})}

app = Flask(__name__)
app.config.from_prefixed_env()

files = Storage("files", ALL)
FS(app, files)

service = objectstore(files, keys=app.config["SERVICE_KEYS"], usecases=USECASES)
app.register_blueprint(service, url_prefix="/v1")

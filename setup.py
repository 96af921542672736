"""What the package is called, and what it needs to run."""

from pathlib import Path

from setuptools import find_packages, setup

API = [
    # Ed25519; 40 was the first to give the bytes of a key.
    "cryptography>=40.0",
    # Before 2.14, sixteen spellings of one signature were good.
    "PyJWT>=2.14",
    # Objects are compressed on their way; 0.23 reads across frames and is typed.
    "zstandard>=0.23",
    # The first whose answers are read as they come, to the byte.
    "urllib3>=2.2",
]

EXTRAS = {
    # Cooperative waiting below gevent. Without it, threads.
    "gevent": ["gevent>=24.2"],
    # Listings are parsed in half the time.
    "speed": ["orjson>=3.9"],
    # Two tiers: small files in SQL. Its drivers, but for SQLite's, are yours to choose.
    "sql": ["sqlalchemy>=2.0"],
    # Storages over HTTP, by the objectstore protocol.
    "api": API,
    # The same with a server below it, and what each of its workers needs. Before 25.1, gunicorn
    # had no control socket to leave out.
    "serve": [*API, "gunicorn[gevent]>=25.1"],
    # A real Swift in one process, for development and tests.
    "dev": ["swift>=2.35"],
    # Fixtures for the test suites of users.
    "testing": ["swift>=2.35", "pytest>=8"],
}

setup(
    name="flask-fs-swift",
    version="0.1.0",
    description="File storage for Flask on OpenStack Swift",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["flask_fs_swift", "flask_fs_swift.*"]),
    package_data={"flask_fs_swift": ["py.typed"]},
    install_requires=[
        "Flask>=3.0",
        "python-swiftclient>=4.0",
        # Keystone: swiftclient's own path hides when a token expires.
        "keystoneauth1>=5.0",
        # What swiftclient speaks HTTP with: we tell its failures apart.
        "requests>=2.32",
        "urllib3>=2.0",
    ],
    extras_require=EXTRAS,
    entry_points={"fs.backend": ["openstack = flask_fs_swift.flask_fs2:OpenStackBackend"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Framework :: Flask",
        "Intended Audience :: Developers",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Typing :: Typed",
    ],
)

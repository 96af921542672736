# A Swift for development, as `docker compose up` runs it. Not for data that matters: it never
# syncs its files, and everybody knows the password.
FROM python:3.12-slim

COPY README.md LICENSE setup.py pyproject.toml /src/
COPY flask_fs_swift /src/flask_fs_swift
RUN pip install --no-cache-dir "/src[dev]" \
    && rm -r /src \
    && useradd --create-home swift \
    && install --directory --owner=swift --mode=0700 /srv/swift

USER swift
VOLUME /srv/swift
EXPOSE 8080
ENTRYPOINT ["python", "-m", "flask_fs_swift.devserver.server", "/srv/swift", "--host", "0.0.0.0", "--port", "8080"]
# What may be added: --faults, --set slo.max_manifest_segments=5
CMD []

# The service, on CPUs: no root, and a file system that may be read-only but for /tmp. See docs/serve.md.
FROM python:3.11-slim

# An index of wheels of torch for CPUs alone makes the image some gigabytes smaller.
ARG PIP_EXTRA_INDEX_URL=""

COPY . /build
RUN pip install --no-cache-dir --constraint /build/constraints.txt "/build[serve]" && rm -r /build

ENV HOME=/tmp REGRAFT_CACHE=/tmp/regraft REGRAFT_HOME=/tmp/regraft MPLCONFIGDIR=/tmp/matplotlib PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=60s CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/health', timeout=5)"]
STOPSIGNAL SIGTERM

# Only what the container is told to publish reaches it; the model is mounted: -v "$PWD/runs/cells:/model:ro"
ENTRYPOINT ["regraft", "serve", "--host", "0.0.0.0"]
CMD ["/model"]

"""Models, address -> a service that answers until it is told to end, and then finishes what is in flight."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from regraft.errors import ConfigError, MissingExtra, reason_of
from regraft.utils.progress import Progress

try:
    import uvicorn

    from regraft.serve.app import application
    from regraft.serve.connections import reading
    from regraft.serve.hosted import open_hosted
    from regraft.serve.limits import Limits as Limits
    from regraft.serve.metrics import Metrics
except ModuleNotFoundError as error:
    if (error.name or "").startswith("regraft"):
        raise
    raise MissingExtra(str(error.name), "serve", "regraft serve") from error


class Address(NamedTuple):
    """Where the service answers, and whom."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0: any that is free
    token: str | None = None  # what everybody has to know who asks

    @property
    def local(self) -> bool:
        """Whether nobody but this machine can ask."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def serve(
    models: Sequence[str], address: Address, limits: Limits, requested: Mapping[str, Any], progress: Progress
) -> None:
    """Answer until SIGTERM or Ctrl-C; what is in flight then is answered first.

    Args:
        models: as in `regraft.predict`.
        address: where.
        limits: of a request, and of what waits.
        requested: settings, as of `regraft predict`.
        progress: hears where the service answers, and whatever there is to say.

    Raises:
        ConfigError: the address cannot be had.
        RegraftError: as `regraft.predict` of such a model.
    """
    with _listening(address) as listening:  # before models are opened, which takes seconds
        metrics = Metrics()
        hosted = open_hosted(models, requested, limits, metrics.batch, progress)
        app = application(hosted, limits, metrics, address.token, address.local)
        listening.listen(2048)
        host, port = listening.getsockname()[:2]
        place = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        progress.note(
            f"Serving {', '.join(hosted)} on {place}, a web page; /docs there is for programs. Ctrl-C ends it."
        )
        if not address.local and address.token is None:
            progress.warn("Anybody who reaches this machine can ask: --token lets only those ask who know it.")
        try:
            _server(app, limits).run(sockets=[listening])
        finally:
            for one in hosted.values():
                one.close()


def _server(app: Any, limits: Limits) -> uvicorn.Server:
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)  # what a client did wrong is told to that client alone
    config = uvicorn.Config(
        app,
        http=reading(min(10.0, limits.seconds)),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(3 * limits.seconds) + 1,  # to be received, to be answered, to be fetched
    )
    return uvicorn.Server(config)


def _listening(address: Address) -> socket.socket:
    try:
        family, *_, where = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, socket.SOCK_STREAM)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"--host {address.host} --port {address.port} cannot be had ({reason_of(error)}). Name another; "
            "--port 0 takes any that is free."
        ) from error
    return found

"""The address of process 0 (`HOST:PORT`), where the processes of a run meet."""

from __future__ import annotations

import errno
import socket

from tfds_rijks.errors import UserError

START_S = 300.0  # for process 0 to start; JAX waits as long for the others
ANSWER_S = 20.0  # for the first bytes of what listens there
PAUSE_S = 0.5


def split(address: str) -> tuple[str, int]:
  """Host and port of `HOST:PORT` or `[HOST]:PORT`."""
  host, _, port = address.rpartition(':')
  if not (host and port.isdigit() and int(port) < 2**16):
    raise UserError(f'JAX_COORDINATOR_ADDRESS: found {address!r}, expected HOST:PORT')
  return host.strip('[]'), int(port)


def listening(host: str, port: int) -> socket.socket:
  """A socket that listens there alone, and everywhere if the host is `::`; port 0 is any.

  Raises `UserError` if it cannot. gRPC would share a port with another gRPC server instead.
  """
  try:
    if host == '::' and socket.has_dualstack_ipv6():
      return socket.create_server(('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    if host == '::':
      return socket.create_server(('', port))
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family)
  except OSError as error:
    why = 'is in use' if error.errno == errno.EADDRINUSE else f'cannot be used ({error.strerror})'
    raise UserError(
      f'JAX_COORDINATOR_ADDRESS: port {port} {why}; choose another one for all processes'
    ) from error


def free_port() -> int:
  """A port of this host alone that is free now."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return int(free.getsockname()[1])

"""Is the port of the run free for process 0, and is it process 0 that answers there?

Without asking first, a taken port would leave the other processes waiting for five minutes. Two
runs could even share one: gRPC binds a port that another gRPC server has bound already.
"""

from __future__ import annotations

import errno
import socket
import time

from tfds_rijks import progress
from tfds_rijks.errors import UserError

START_S = 300.0  # for process 0 to start; JAX waits as long for the others
ANSWER_S = 20.0  # for the first bytes of what listens there
_PAUSE_S = 0.5
_SETTINGS = 4  # type of the first frame of an HTTP/2 server, which gRPC is
_PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0])


def require_free(address: str) -> None:
  """For process 0: raises `UserError` if it cannot listen at `address` (`HOST:PORT`)."""
  host, port = split(address)
  try:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, where = found[0]
    with socket.socket(family, kind, protocol) as probe:
      probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of a run just ended
      probe.bind(where)
  except OSError as error:
    if error.errno == errno.EAFNOSUPPORT:  # [::] on a host without IPv6
      return
    why = 'is in use' if error.errno == errno.EADDRINUSE else f'cannot be used ({error.strerror})'
    raise UserError(
      f'JAX_COORDINATOR_ADDRESS: port {port} {why}; choose another one for all processes'
    ) from error


def wait_for(address: str, *, wait_s: float = START_S) -> None:
  """For the other processes: returns once process 0 answers at `address` (`HOST:PORT`).

  A refused connection is waited for, since process 0 may still be starting. Raises `UserError` if
  it is not there after `wait_s`, or if something else answers.
  """
  end = time.monotonic() + wait_s
  with progress.working(f'waiting for process 0 at {address}'):
    while True:
      try:
        with socket.create_connection(split(address), timeout=ANSWER_S) as line:
          frame = _first_frame(line)
        break
      except OSError as error:
        if time.monotonic() > end:
          raise UserError(
            f'{address}: process 0 did not start there within {wait_s:.0f} s ({error}); its own '
            'output says why, or set JAX_COORDINATOR_ADDRESS to where it can be reached'
          ) from error
        time.sleep(_PAUSE_S)
  if len(frame) < 9 or frame[3] != _SETTINGS:
    raise UserError(
      f'JAX_COORDINATOR_ADDRESS: something else than process 0 answers at {address}; choose '
      'another port for all processes'
    )


def split(address: str) -> tuple[str, int]:
  """Host and port of `HOST:PORT` or `[HOST]:PORT`."""
  host, _, port = address.rpartition(':')
  if not (host and port.isdigit() and int(port) < 2**16):
    raise UserError(f'JAX_COORDINATOR_ADDRESS: found {address!r}, expected HOST:PORT')
  return host.strip('[]'), int(port)


def _first_frame(line: socket.socket) -> bytes:
  """The 9 bytes of a frame's header; fewer if the other side does not answer so."""
  found = b''
  end = time.monotonic() + ANSWER_S
  try:
    line.sendall(_PREFACE)
    while len(found) < 9 and time.monotonic() < end:
      more = line.recv(9 - len(found))
      if not more:
        break
      found += more
  except OSError:  # it hung up, or said nothing
    return b''
  return found

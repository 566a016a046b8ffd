"""A relay between JAX's client in this process and its service in process 0.

JAX's client ends its process, with a C++ stack, once its connection to the service closes. Through
the relay it does not see that: `flaxart.machine.peers` says in one line who is gone, and leaves.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from flaxart.machine.coordinator import split

_CONNECT_S = 20.0


class Relay:
  """Listens at `address` (of this host alone) and passes on to `service` (`HOST:PORT`).

  While `holding`, the end of the service's connection is kept from the client.
  """

  def __init__(self, service: str):
    self.holding = False
    self._service = split(service)
    self._listener = socket.create_server(('127.0.0.1', 0))
    self._lines: list[socket.socket] = []  # an object that is collected would close its connection
    self.address = f'127.0.0.1:{self._listener.getsockname()[1]}'
    threading.Thread(target=self._accept, name='relay', daemon=True).start()

  def _accept(self) -> None:
    while True:
      near, _ = self._listener.accept()
      try:
        far = socket.create_connection(self._service, timeout=_CONNECT_S)
      except OSError:  # the client tries again
        near.close()
        continue
      far.settimeout(None)
      self._lines += [near, far]
      for line in (near, far):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
      for source, sink in ((near, far), (far, near)):
        threading.Thread(
          target=self._pass_on, args=(source, sink, near), name='relay', daemon=True
        ).start()

  def _pass_on(self, source: socket.socket, sink: socket.socket, near: socket.socket) -> None:
    ended = source
    try:
      while data := source.recv(1 << 16):
        ended = sink
        sink.sendall(data)
        ended = source
    except OSError:
      pass
    if self.holding and ended is not near:
      return
    for line in (source, sink):
      with contextlib.suppress(OSError):  # closed already
        line.shutdown(socket.SHUT_RDWR)

"""How a connection comes about: name, address, proxy, TLS."""

import asyncio
import socket
import ssl

from proxy.upstream.connection import Connection
from proxy.upstream.origin import Address, Origin
from proxy.upstream.race import race
from proxy.upstream.resolver import Resolver, is_local
from proxy.upstream.tunnel import Proxy, open_tunnel, proxy_of


def new_tls(ca_file: str = "") -> ssl.SSLContext:
    """Trusts the system's certificates, and those of the PEM file `ca_file`. HTTP/1.1 only."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Dialer:
    """Connects. What leads to this machine never goes through the proxy."""

    def __init__(self, *, ca_file: str, proxy: str, resolver: Resolver) -> None:
        self._ca_file = ca_file
        self._proxy = proxy_of(proxy)
        self._resolver = resolver
        self._tls: ssl.SSLContext | None = None

    def proxy(self, address: Address) -> Proxy | None:
        """The proxy on the way to `address`, if there is one."""
        return None if is_local(address.host) else self._proxy

    async def connect(self, origin: Origin) -> Connection:
        """A new connection; raises OSError, and ValueError where the name is none."""
        scheme, host, port = origin.address
        proxy = self.proxy(origin.address)
        sock = await (self._reach(proxy.host, proxy.port) if proxy else self._reach(host, port))
        loop = asyncio.get_running_loop()
        try:
            if scheme == "https" and proxy is not None:
                await open_tunnel(sock, host, port, proxy)
            transport, connection = await loop.create_connection(
                lambda: Connection(origin, loop),
                sock=sock,
                ssl=self._trust() if scheme == "https" else None,
                server_hostname=host if scheme == "https" else None,
            )
        except BaseException:
            sock.close()
            raise
        if transport.is_closing():
            raise OSError("closed at once")
        origin.open.add(connection)
        return connection

    def _trust(self) -> ssl.SSLContext:
        """Made when it is first needed: reading the system's certificates takes a moment."""
        self._tls = self._tls or new_tls(self._ca_file)
        return self._tls

    async def _reach(self, host: str, port: int) -> socket.socket:
        """Addresses that do not answer may have been given up: then they are asked for anew."""
        places = self._resolver.known(host, port)
        if places:
            try:
                return await race(places)
            except OSError:
                if not self._resolver.forget(host, port):
                    raise
        return await race(await self._resolver.ask(host, port))

    async def close(self) -> None:
        """Waits for no answer of a name server any more."""
        await self._resolver.close()

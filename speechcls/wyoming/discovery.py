"""Zeroconf: how Home Assistant discovers a server on the network."""

import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from speechcls.errors import ConfigError, ServerError, not_installed, reason_of

SERVICE = "_wyoming._tcp.local."
"""Kind of service that Home Assistant looks for."""
_MDNS = ("224.0.0.251", 5353)


@asynccontextmanager
async def announced(name: str, host: str, port: int) -> AsyncIterator[None]:
    """Announce a server while the block runs.

    Parameters
    ----------
    name : of the server, which Home Assistant shows
    host : that it listens at; of ``0.0.0.0`` the address of this machine is announced

    Raises
    ------
    ConfigError
        When zeroconf is not installed, the name is impossible, or nobody else reaches the host.
    ServerError
        When it cannot be announced.
    """
    try:
        from zeroconf import BadTypeInNameException, Error
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf
    except ImportError as error:
        raise ConfigError(not_installed("zeroconf", "wyoming"), field="zeroconf") from error
    address = _address_of(host)
    try:
        about = AsyncServiceInfo(SERVICE, f"{name}.{SERVICE}", addresses=[address], port=port)
        network = AsyncZeroconf()
    except BadTypeInNameException as error:
        raise ConfigError(f"{name!r} is no name of a service; {error}", field="zeroconf") from error
    except OSError as error:
        raise ServerError(
            f"{name}: cannot be announced ({reason_of(error)}); go without zeroconf"
        ) from error
    try:
        try:
            await network.async_register_service(about)
        except (Error, OSError) as error:
            reason = reason_of(error) or "the name is taken"
            raise ServerError(
                f"{name}: cannot be announced ({reason}); choose another name"
            ) from error
        yield
    finally:
        await network.async_unregister_all_services()
        await network.async_close()


def _address_of(host: str) -> bytes:
    """Return the address that others reach a server at, four or sixteen bytes."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0]
        address = ipaddress.ip_address(found)
        if address.is_unspecified:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect(_MDNS)  # sends nothing, but chooses the address to send from
                address = ipaddress.ip_address(probe.getsockname()[0])
    except OSError as error:
        raise ServerError(
            f"{host}: no address to announce ({reason_of(error)}); name one of this machine"
        ) from error
    if address.is_loopback and not ipaddress.ip_address(found).is_unspecified:
        raise ConfigError(
            f"{host} is reached from this machine alone; listen at 0.0.0.0", field="zeroconf"
        )
    return address.packed

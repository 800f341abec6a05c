"""The server: its socket, its clients, and its end."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from speechcls.errors import ServerError, SpeechclsError, reason_of
from speechcls.wyoming.connection import Connection
from speechcls.wyoming.discovery import announced
from speechcls.wyoming.service import Service, describe
from speechcls.wyoming.settings import WyomingSettings, load_wyoming, parse_uri


class Server:
    """Answers clients of the Wyoming protocol, each with a state of its own.

    Parameters
    ----------
    note, warn : called with a line for people
    """

    def __init__(
        self,
        service: Service,
        settings: WyomingSettings | None = None,
        note: Callable[[str], None] = lambda text: None,
        warn: Callable[[str], None] = lambda text: None,
    ) -> None:
        load_wyoming()
        self._service, self._settings = service, settings or WyomingSettings()
        self._note, self._warn = note, warn
        self._info = describe(service)
        self._clients = set[asyncio.Task[None]]()

    async def run(
        self,
        uri: str,
        until: asyncio.Event,
        on_ready: Callable[[str], None],
        zeroconf_name: str | None = None,
    ) -> None:
        """Answer clients until an event is set.

        Parameters
        ----------
        uri : as ``tcp://127.0.0.1:10400``; with port 0 a free one is taken
        on_ready : called with the address once it listens
        zeroconf_name : name by which Home Assistant discovers it; None: it does not

        Raises
        ------
        ConfigError
            When the address is impossible, or zeroconf is not installed.
        ServerError
            When it cannot be listened at.
        """
        host, port = parse_uri(uri)
        async with AsyncExitStack() as stack:
            try:
                server = await asyncio.start_server(
                    self._accept, host, port, limit=self._settings.header_bytes_max
                )
            except (OSError, OverflowError) as error:
                raise ServerError(
                    f"{uri}: cannot be listened at ({reason_of(error)}); choose another address"
                ) from error
            stack.push_async_callback(self._stop, server)
            port = server.sockets[0].getsockname()[1]
            if zeroconf_name is not None:
                await stack.enter_async_context(announced(zeroconf_name, host, port))
            on_ready(f"tcp://{f'[{host}]' if ':' in host else host}:{port}")
            await until.wait()

    async def _stop(self, server: asyncio.Server) -> None:
        """Take no more clients, and let those go that are there."""
        server.close()
        for client in self._clients:
            client.cancel()
        if self._clients:
            await asyncio.wait(self._clients, timeout=self._settings.stop_timeout_s)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        address = writer.get_extra_info("peername") or ("a client",)
        name = ":".join(map(str, address[:2]))
        try:
            await self._answer(reader, writer, name)
        except asyncio.CancelledError:  # of ``_stop``; asyncio would report it as a fault
            pass
        except SpeechclsError as error:
            self._warn(f"{name}: {error}; disconnected")
        except ConnectionError as error:
            self._note(f"{name}: {reason_of(error)}")
        finally:
            await self._close(writer)
            self._clients.discard(task)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Close a connection; what the client does not take is dropped."""
        writer.close()
        try:
            async with asyncio.timeout(self._settings.stop_timeout_s):
                await writer.wait_closed()
        except OSError:
            writer.transport.abort()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str
    ) -> None:
        most = self._settings.clients_max
        if len(self._clients) > most:
            from wyoming.error import Error
            from wyoming.event import async_write_event

            text = f"{most} clients are connected, which is the most there can be"
            await async_write_event(Error(text, "busy").event(), writer)
            raise ServerError(text)
        await Connection(
            self._service,
            self._info,
            self._settings,
            reader,
            writer,
            name,
            self._note,
            self._warn,
        ).run()

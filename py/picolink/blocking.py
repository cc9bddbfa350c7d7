"""Links for programs without asyncio, on a PC: scripts, notebooks, a REPL. No board loads this."""

import asyncio
import concurrent.futures
import threading

_END_S = 10


class BlockingLink:
    """A link to one board, whose calls wait; made by picolink.connect_sync().

        with picolink.connect_sync("PicoA") as link:
            link.send({"on": True})
            for message in link:
                print(message)

    It runs in a thread of its own, so on_event is called in that thread, and messages come while the program
    does something else. Several threads may call it. Calls are as those of picolink.link.Link, with the same
    errors; Ctrl-C ends a call that waits, and loses nothing.

    Attributes: those of Link.
    """

    def __init__(self, name, radio, options):
        from . import connect

        self._loop = asyncio.new_event_loop()
        self._thread = None
        self._link = connect(name, radio, **options)

    # -- opening and closing ------------------------------------------------------------------------------

    def open(self, timeout_ms=None):
        """Wait for the board: once for each link. `with` does this."""
        return self._open(self._link.open(timeout_ms))

    def _open(self, opening):
        if self._thread:
            self._call(opening)  # an error
        self._run()
        try:
            self._call(opening)
        except BaseException:
            self._end()
            raise
        return self

    def close(self, timeout_ms=3000):
        """Send what is queued, tell the board, disconnect: see Link.close()."""
        if self._thread:
            try:
                self._call(self._link.close(timeout_ms))
            finally:
                self._end()

    def __enter__(self):
        return self if self._thread else self._open(self._link.__aenter__())

    def __exit__(self, exc_type, exc, traceback):
        if self._thread:
            try:
                self._call(self._link.__aexit__(exc_type, exc, traceback))
            finally:
                self._end()

    # -- messages -----------------------------------------------------------------------------------------

    def send(self, message, channel=0, timeout_ms=None):
        """Queue a message; waits while there is no room."""
        self._call(_send(self._link, message, channel, timeout_ms))

    def send_nowait(self, message, channel=0):
        """Queue a message if there is room now. Returns whether it was taken."""
        return self._call(_soon(self._link.send_nowait, message, channel))

    def recv(self, timeout_ms=None):
        """The next message, as it was sent; its channel is link.channel."""
        return self._call(self._link.recv(timeout_ms))

    def drain(self, timeout_ms=None):
        """Wait for a message; a list of all that are here."""
        return self._call(_all(self._link, timeout_ms))

    def flush(self, timeout_ms=None):
        """Wait until the board has all that was sent before this call."""
        self._call(self._link.flush(timeout_ms))

    def commit(self):
        """See Link.commit()."""
        self._call(_soon(self._link.commit))

    def forget(self):
        """See Link.forget()."""
        self._call(_soon(self._link.forget))

    def __iter__(self):
        return self

    def __next__(self):
        try:
            return self._call(_next(self._link))
        except _EndError:
            raise StopIteration from None

    @property
    def name(self):
        return self._link.name

    @property
    def engine(self):
        return self._link.engine

    @property
    def channel(self):
        return self._link.channel

    @property
    def connected(self):
        return self._link.connected

    @property
    def stats(self):
        return self._call(_soon(self._link.__getattr__, "stats")) if self._thread else self._link.stats

    # -- the thread ---------------------------------------------------------------------------------------

    def _run(self):
        if self._thread is None and not self._loop.is_closed():
            # A daemon: a program that forgets to close the link ends all the same.
            self._thread = threading.Thread(target=self._loop.run_forever, name="picolink", daemon=True)
            self._thread.start()

    def _call(self, work):
        if self._thread is None:
            work.close()
            self._link._policy.check_open()
            raise RuntimeError("this link was not opened")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise
        except BaseException:
            if not future.done():  # Ctrl-C
                future.cancel()
                concurrent.futures.wait([asyncio.run_coroutine_threadsafe(_soon(int), self._loop)])
            raise

    def _end(self):
        thread, self._thread = self._thread, None
        if thread:
            asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(_END_S)
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()


class _EndError(Exception):
    """StopAsyncIteration and StopIteration do not pass through futures."""


async def _soon(function, *arguments):
    return function(*arguments)


async def _send(link, message, channel, timeout_ms):
    await link.send(message, channel, timeout_ms)


async def _all(link, timeout_ms):
    return list(await link.drain(timeout_ms))


async def _next(link):
    try:
        return await link.__anext__()
    except StopAsyncIteration:
        raise _EndError from None


async def _cancel_others():
    """What libraries have left running in this loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)

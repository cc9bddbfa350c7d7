"""For editors and type checkers: what a program uses. tests/test_stubs.py compares it with the code."""

from collections.abc import Callable, Coroutine, Iterable
from os import PathLike
from typing import Any, Literal, Protocol

from .blocking import BlockingLink
from .errors import FileError as FileError
from .errors import LinkClosedError as LinkClosedError
from .link import Link as Link
from .link import Message
from .receiving import FileReceiver

__version__: str

class _Radio(Protocol):
    def advertise(self, name: str, services: Iterable[Any]) -> Any: ...
    def connect(self, name: str) -> Any: ...
    def meet(self, name: str, services: Iterable[Any] = ()) -> Any: ...

def advertise(
    name: str,
    radio: _Radio | None = None,
    services: Iterable[Any] = (),
    *,
    engine: Literal["native", "python"] | None = None,
    tx_size: int = 8192,
    rx_size: int = 8192,
    on_event: Callable[[str, str], object] = ...,
    timeout_ms: int | None = None,
    remember: bool = False,
    commit: bool = False,
    key: bytes | bytearray | memoryview | str | bool = False,
) -> Link: ...
def connect(
    name: str,
    radio: _Radio | None = None,
    *,
    engine: Literal["native", "python"] | None = None,
    tx_size: int = 8192,
    rx_size: int = 8192,
    on_event: Callable[[str, str], object] = ...,
    timeout_ms: int | None = None,
    remember: bool = False,
    commit: bool = False,
    key: bytes | bytearray | memoryview | str | bool = False,
) -> Link: ...
def meet(
    name: str,
    radio: _Radio | None = None,
    services: Iterable[Any] = (),
    *,
    engine: Literal["native", "python"] | None = None,
    tx_size: int = 8192,
    rx_size: int = 8192,
    on_event: Callable[[str, str], object] = ...,
    timeout_ms: int | None = None,
    remember: bool = False,
    commit: bool = False,
    key: bytes | bytearray | memoryview | str | bool = False,
) -> Link: ...
def connect_sync(
    name: str,
    radio: _Radio | None = None,
    *,
    engine: Literal["native", "python"] | None = None,
    tx_size: int = 8192,
    rx_size: int = 8192,
    on_event: Callable[[str, str], object] = ...,
    timeout_ms: int | None = None,
    remember: bool = False,
    commit: bool = False,
    key: bytes | bytearray | memoryview | str | bool = False,
) -> BlockingLink: ...
def send_file(
    link: Link,
    path: str | PathLike[str],
    name: str | None = None,
    progress: Callable[[int, int], object] | None = None,
    timeout_ms: int | None = None,
) -> Coroutine[Any, Any, None]: ...
def receive_files(
    link: Link,
    folder: str,
    allow: Callable[[str], bool] | None = None,
    programs: bool = False,
    give: bool = False,
    progress: Callable[[str, int, int], object] | None = None,
) -> FileReceiver: ...
def fetch_file(
    link: Link,
    name: str,
    path: str | PathLike[str],
    progress: Callable[[str, int, int], object] | None = None,
    timeout_ms: int | None = None,
) -> Coroutine[Any, Any, None]: ...
def try_program(path: str, within_ms: int = 60_000) -> None: ...
def keep(feed: bool = True) -> None: ...
def pack(value: Message) -> bytes: ...
def unpack(data: bytes | bytearray | memoryview) -> Any: ...
def help() -> None: ...  # noqa: A001

"""For editors and type checkers: what a program uses. tests/test_stubs.py compares it with the code."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, Protocol

from .blocking import BlockingLink
from .errors import LinkClosedError as LinkClosedError
from .link import Link as Link

__version__: str

class _Radio(Protocol):
    def advertise(self, name: str, services: Iterable[Any]) -> Any: ...
    def connect(self, name: str) -> Any: ...

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
def help() -> None: ...  # noqa: A001

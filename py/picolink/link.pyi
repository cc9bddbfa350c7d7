from array import array
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, Literal, Self, TypeAlias

from .newest import Newest

# What can be sent; and what is received, with bytes for all kinds of bytes and a list for a tuple.
Message: TypeAlias = (
    bool
    | int
    | float
    | str
    | bytes
    | bytearray
    | memoryview
    | array[int]
    | list[Message]
    | tuple[Message, ...]
    | Mapping[str, Message]
    | Mapping[int, Message]
    | None
)

def print_event(event: str, detail: str) -> None: ...

class Link:
    name: str
    engine: Literal["native", "python"]
    connected: bool
    channel: int
    stats: dict[str, Any]

    def __init__(
        self,
        role: Any,
        engine: Literal["native", "python"] | None = None,
        tx_size: int = 8192,
        rx_size: int = 8192,
        on_event: Callable[[str, str], object] = ...,
        timeout_ms: int | None = None,
        remember: bool = False,
        commit: bool = False,
        key: bytes | bytearray | memoryview | str | bool = False,
    ) -> None: ...
    async def open(self, timeout_ms: int | None = None) -> Self: ...
    async def close(self, timeout_ms: int = 3000) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(self, exc_type: object, exc: object, traceback: object) -> None: ...
    def send(
        self, message: Message, channel: int = 0, timeout_ms: int | None = None
    ) -> Coroutine[Any, Any, None]: ...
    def send_nowait(self, message: Message, channel: int = 0) -> bool: ...
    def recv(self, timeout_ms: int | None = None) -> Coroutine[Any, Any, Any]: ...
    async def drain(self, timeout_ms: int | None = None) -> Iterator[Any]: ...
    def __aiter__(self) -> Self: ...
    def __anext__(self) -> Coroutine[Any, Any, Any]: ...
    def newest(self, channel: int) -> Newest: ...
    def commit(self) -> None: ...
    def forget(self) -> None: ...
    async def flush(self, timeout_ms: int | None = None) -> None: ...

from collections.abc import Coroutine
from typing import Any

from .link import Message

class Newest:
    channel: int

    def send(self, value: Message) -> Coroutine[Any, Any, None]: ...
    def latest(self) -> Any: ...
    async def recv(self, timeout_ms: int | None = None) -> Any: ...

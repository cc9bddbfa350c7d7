from collections.abc import Callable
from typing import Self

from .link import Link

class FileReceiver:
    def __init__(
        self,
        link: Link,
        folder: str,
        allow: Callable[[str], bool] | None = None,
        programs: bool = False,
        give: bool = False,
        progress: Callable[[str, int, int], object] | None = None,
    ) -> None: ...
    def __aiter__(self) -> Self: ...
    async def __anext__(self) -> str: ...
    def close(self) -> None: ...

from collections.abc import Iterable
from typing import Any

from ..link import Link

class Air:
    in_range: bool
    delay_ms: int
    loss: float
    queue: int
    mtu: int
    supervision_ms: int

    def __init__(
        self,
        delay_ms: int = 0,
        loss: float = 0,
        queue: int = 8,
        mtu: int = 247,
        supervision_ms: int = 2000,
    ) -> None: ...
    def board(self, address: str) -> _BoardRadio: ...
    def advertise(self, name: str, services: Iterable[Any] = ()) -> Any: ...
    def connect(self, name: str) -> Any: ...
    def drop(self) -> None: ...
    def power_off(self, link: Link) -> None: ...

class _BoardRadio:
    def advertise(self, name: str, services: Iterable[Any] = ()) -> Any: ...
    def connect(self, name: str) -> Any: ...

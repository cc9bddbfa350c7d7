# Simulator code for virtual boards, never installed on a board: aioble's events and settings.

import bluetooth

ble = bluetooth.BLE()

_handlers = []
_shutdown_handlers = []


class GattError(Exception):
    def __init__(self, status):
        super().__init__(status)
        self._status = status


def register_irq_handler(irq, shutdown):
    if irq:
        _handlers.append(irq)
    if shutdown:
        _shutdown_handlers.append(shutdown)


def ble_irq(event, data):
    for handler in _handlers:
        result = handler(event, data)
        if result is not None:  # the event is taken: the rest does not see it
            return result
    return None


def ensure_active():
    if not ble.active():
        ble.active(True)


def config(*args, **kwargs):
    ensure_active()
    return ble.config(*args, **kwargs)


def stop():
    ble.active(False)
    for handler in _shutdown_handlers:
        handler()


ble.irq(ble_irq)

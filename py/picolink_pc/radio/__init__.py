"""The virtual radio: Bluetooth LE controllers on one modelled air.

`air` and `link_layer` are plain arithmetic and state, without a clock or a Bluetooth library: simulations use
them too.  `controller` and `hci_pty` are the same model in real time for host stacks, on Bumble.
"""

"""Two engines on a modelled radio in virtual time: exact, and the same again with the same seed.

    from picolink.pyengine import Engine
    from picolink_pc.simulation.simulation import Setup, Simulation

    simulation = Simulation((Engine, Engine), Setup(seed=1))
    simulation.connect()
    simulation.run(1)                     # seconds of virtual time
    simulation.measure()
    simulation.run(5)
    print(simulation.flow(0))             # what went from the central to the peripheral
    assert simulation.drain(5) and not simulation.broken_promises()

scheduler.py    virtual time
air_time.py     what the air is used for
host_stack.py   what a Bluetooth host takes and refuses
board.py        an engine, the pump that carries its packets, and its application
faults.py       what happens to packets above the radio
simulation.py   all of it together
chaos.py        runs full of faults, each decided by its seed: picolink chaos
engines.py      the engines that there are, by name

The radio is picolink_pc.radio.link_layer, the same model that virtual boards talk over.
"""

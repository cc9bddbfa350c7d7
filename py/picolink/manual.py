"""What picolink.help() prints; loaded for that only."""

TEXT = """\
Messages between two boards, none lost. On both: picolink.meet("A"); or on one
  async with picolink.advertise("A") as link:  the other: picolink.connect("A")
  await link.send({"t": 21.5})           bytes, str, objects; waits for room
  link.send_nowait("hello")              False when it would have to wait
  await link.recv()                      what was sent; or: async for m in link
  await link.drain()                     waits for one, then all that are here
  await link.flush()                     until the other board has everything
  link.connected, link.stats, link.engine
Stuck? On the PC, with the board connected: picolink doctor
More: README.md, examples and docs of picolink"""

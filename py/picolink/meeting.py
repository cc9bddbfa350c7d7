"""How boards that run the same program find each other: in turn each advertises, and looks for the other."""

from .runtime import const, ticks_diff, ticks_ms

_LEAST_MS = const(150)  # enough to be found in
_MORE_MS = const(2)  # for each of 0 to 255, at random: else both could do the same thing for ever
_MARGIN_MS = const(2000)  # to begin and to end a phase
_TELL_MS = const(5000)


async def meet(role, policy):
    """establish() (picolink.radio) of a role that meets.

    It has look(ms, others), which looks for the board of its name and connects to it, and wait(ms), which
    advertises: both return whether the boards are connected.   others: a set for names of boards in sight.
    Who looks does not advertise: so never do two boards call each other, both in vain.
    """
    others = set()
    looks = policy.noise(1)[0] & 1
    told_at = ticks_ms()
    while True:
        ms = _LEAST_MS + _MORE_MS * policy.noise(1)[0]
        policy.limit(ticks_ms(), ms + _MARGIN_MS)
        if await (role.look(ms, others) if looks else role.wait(ms)):
            return
        looks = not looks
        now = ticks_ms()
        if ticks_diff(now, told_at) > _TELL_MS:
            told_at = now
            policy.not_found(now, role.name, others)
            others.clear()

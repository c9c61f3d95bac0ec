"""The invariant of every write, tried with every trouble that may meet it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from marketsync.domain.deliveries import State, WriteClass
from marketsync.kit.drive import Drive, Scene
from marketsync.kit.wire import CLEAR, Trouble
from marketsync.sandbox.kinds import Fault

SAID_NO = (Fault.REFUSED_BEFORE, Fault.FORBIDDEN)

Stage = Callable[[], Awaitable[Scene]]


async def doubt(
    stage: Stage, troubles: Sequence[Trouble], looks: Sequence[Trouble], polls: Sequence[Trouble] = ()
) -> list[str]:
    """The invariant, for every trouble at every step, for what may meet the look behind a lost answer, for `polls` to the
    first question after a receipt, and for the echo."""
    said: dict[str, None] = {}
    plain = Drive(await stage())
    await plain.clean()
    if plain.said:
        return plain.said
    await plain.again()
    late = Drive(await stage())
    await late.too_late()
    said |= dict.fromkeys((*plain.said, *late.said))
    lost = Trouble(Fault.ANSWER_LOST)
    for step, spec in enumerate(plain.steps):
        met = [*((x, CLEAR, CLEAR) for x in troubles), *((lost, x, CLEAR) for x in looks)]
        met = met if plain.wrote[step] else []
        met += [(CLEAR, CLEAR, x) for x in polls] if plain.waited[step] else []
        for trouble, look, poll in met:
            drive = Drive(await stage(), plain.shows, plain.wrote)
            drive.poll_meets = poll
            await drive.to_end(trouble, step, look)
            await _judge_end(drive, trouble)
            behind = f", then {look} to the look" if look != CLEAR else ""
            what = f"{trouble}{behind}" if poll == CLEAR else f"{poll} to the question what became of it"
            name = f"step {spec.name}, {what}"
            said |= dict.fromkeys(f"{name}: {sentence}" for sentence in drive.said)
    return list(said)


async def _judge_end(drive: Drive, trouble: Trouble) -> None:
    if drive.row.state is State.DONE:
        if not await drive.shows_step(len(drive.steps)):
            drive.said.append("it is done, and the far side does not show it done once")
    elif drive.row.state is State.PARKED:
        blind = any(spec.write_class is WriteClass.BLIND for spec in drive.steps)
        if trouble.fault not in SAID_NO and not blind:
            drive.said.append(f"it is parked for a person ({drive.row.error})")

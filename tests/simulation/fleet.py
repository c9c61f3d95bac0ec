"""Many runs of the simulator, one after the other or in several processes; what comes out is the same."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import msgspec
from msgspec.structs import replace

from tests.simulation.harness import Outcome, simulate
from tests.simulation.scenario import Scenario, standard
from tests.simulation.scenes import scene
from tests.simulation.vendors import vendors

CHUNK = 4


class Run(msgspec.Struct, frozen=True):
    """`number` is a seed, or with `scene` the point of it at which the process dies: a boundary, or a turn of the loop
    where `awaits`. 0 dies nowhere. `vendors`: the seed is one of Amazon, eBay and Mirakl. `shop`: the adapter of the shop."""

    number: int
    scene: str = ""
    awaits: bool = False
    vendors: bool = False
    shop: str = "woocommerce"

    @property
    def scenario(self) -> Scenario:
        if not self.scene:
            seed = vendors(self.number) if self.vendors else standard(self.number)
            return replace(seed, shop=self.shop)
        return scene(self.scene, **{"step" if self.awaits else "boundary": self.number})

    def __str__(self) -> str:
        shop = "" if self.shop == "woocommerce" else f"{self.shop} "
        seed = f"{shop}{'vendors seed' if self.vendors else 'seed'}"
        what = seed if not self.scene else f"{self.scene} {'await' if self.awaits else 'boundary'}"
        return f"{what} {self.number}"


def perform(run: Run) -> Outcome:
    """A crash that was asked for and never came is a failure: the points were counted wrongly."""
    outcome = replace(simulate(run.scenario), log=(), script=None)
    if run.scene and run.number and outcome.lives != 2:
        return replace(
            outcome, failures=(*outcome.failures, f"{outcome.lives} lives where there should be 2")
        )
    return outcome


def perform_all(runs: Iterable[Run], jobs: int) -> Iterator[tuple[Run, Outcome]]:
    """In the order of `runs`, whoever is ready first."""
    chosen = tuple(runs)
    if jobs <= 1:
        yield from ((run, perform(run)) for run in chosen)
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("fork")) as pool:
        yield from zip(chosen, pool.map(perform, chosen, chunksize=CHUNK), strict=True)


def points(name: str, *, awaits: bool) -> tuple[Run, ...]:
    """All of a scene: an undisturbed run counts them."""
    whole = simulate(scene(name))
    last = whole.steps if awaits else whole.boundaries
    return tuple(Run(number, name, awaits) for number in range(1, last + 1))

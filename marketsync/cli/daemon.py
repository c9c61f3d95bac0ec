"""`run`, `check`, `demo`."""

from __future__ import annotations

import json
import sys

import click

from marketsync.cli import tables
from marketsync.cli.calling import guarded, json_option, load_config
from marketsync.cli.exits import Exit


class Seconds(click.ParamType[float]):
    """30, 30s, 2m or 1h."""

    name = "duration"

    def convert(self, value: float | str, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value)
        factor = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
        try:
            return float(text[:-1]) * factor if factor else float(text)
        except ValueError:
            self.fail(f"{text!r} is not a duration such as 30s", param, ctx)


@click.command()
def run() -> None:
    """Run the daemon. SIGTERM drains; a second one ends it at once."""

    def work() -> Exit:
        import asyncio
        import gc

        # What is loaded here stays for good: looking for garbage in it is a tenth of the start.
        gc.disable()
        try:
            from marketsync.cli.serving import serve
            from marketsync.http import transport  # noqa: F401 - the engine's way out, loaded with the rest

            config = load_config()
            gc.freeze()
        finally:
            gc.enable()
        return asyncio.run(serve(config))

    sys.exit(guarded(work))


@click.command()
@json_option
def check(as_json: bool) -> None:
    """Check configuration, credentials, account traits and clocks of each connection. Changes nothing."""

    def work() -> list[dict[str, object]]:
        import asyncio

        from marketsync.cli.checking import check_all

        return asyncio.run(check_all(load_config()))

    result = guarded(work)
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else tables.check(result))
    sys.exit(Exit.OK if all(found["well"] for found in result) else Exit.FAILURE)


@click.command()
@click.option(
    "--for",
    "for_seconds",
    type=Seconds(),
    help="Stop after this long, such as 30s or 2m; without it, on Ctrl-C.",
)
@click.option(
    "--speed", type=float, default=60.0, show_default=True, help="Seconds of the demo in one real second."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Which world to simulate.")
@click.option("--faults", is_flag=True, help="Let the simulated far sides fail now and then.")
@json_option
def demo(for_seconds: float | None, speed: float, seed: int, faults: bool, as_json: bool) -> None:
    """Simulated marketplaces and shop on loopback, and the real daemon between them."""

    def work() -> int:
        from marketsync.bootstrap import build
        from marketsync.cli.serving import commanded
        from marketsync.installed import installed_adapters
        from marketsync.sandbox.demo import main

        return main(
            build=build,
            adapters=installed_adapters(),
            for_seconds=for_seconds,
            speed=speed,
            seed=seed,
            faults=faults,
            as_json=as_json,
            beside=commanded,
        )

    sys.exit(guarded(work))

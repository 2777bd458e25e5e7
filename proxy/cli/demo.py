"""The command `demo`."""

import click


@click.command()
@click.option("--once", is_flag=True, help="Show and end: with status 0 if every promise was kept.")
def demo(once: bool) -> None:
    """Show Foregate at work in front of a small app; needs no root and no configuration."""
    # Imported here: the other commands need none of it.
    from proxy.demo import run_demo

    run_demo(click.echo, once=once)

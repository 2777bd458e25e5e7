"""The command `demo`."""

import click


@click.command()
@click.option("--once", is_flag=True, help="Show and end: with status 0 if every promise was kept.")
@click.option("--upstream", default="", metavar="URL", help="In front of your own app instead.")
def demo(once: bool, upstream: str) -> None:
    """Show Foregate at work in front of a small app.

    Needs no root and no configuration; uses free ports of 127.0.0.1.
    """
    # Imported here: the other commands need none of it.
    from proxy.demo import run_demo

    run_demo(click.echo, once=once, own_app=upstream)

"""``fastapix5 routes``: what routes an application has, and with ``--explain`` what stands behind each."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import typer

from fastapix5.cli.apps import AppName, Factory, load_app
from fastapix5.cli.explaining import explain
from fastapix5.cli.failing import Traceback, errors_as_sentences
from fastapix5.cli.printing import Row, print_json, print_rows
from fastapix5.routers import ListedRoute, list_routes

Method: TypeAlias = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


def routes(
    name: AppName = None,
    *,
    explained: Annotated[
        bool, typer.Option("--explain", help="Show the policies of each route, which path its rows take, and why.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="List the routes that are not of viewsets, too.")] = False,
    path: Annotated[str, typer.Option(help="List only routes whose path contains this.", show_default=False)] = "",
    method: Annotated[
        Method | None, typer.Option(help="List only routes that have this method.", case_sensitive=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    factory: Factory = False,
    traceback: Traceback = False,
) -> None:
    """List the routes of an application: methods, path, operation, and the viewset's action.

    With --explain, each also shows its policies and the path that its rows take: compiled (SQL text that is made once,
    straight to the driver), core (the same statement, through SQLAlchemy), or objects (objects of the model are made);
    and why. Nothing is served, and no database is asked.
    """
    with errors_as_sentences(traceback=traceback):
        listed = list_routes(load_app(name, factory=factory).routes)
        found = (route for route in listed if (every or route.plan is not None) and path in route.path)
        rows = [row_of(route, explained=explained) for route in found if method in {None, *methods_of(route)}]
    if json:
        print_json(rows)
    elif rows:
        print_rows(rows, explained=explained)
    else:
        typer.echo("No route found." if every else "No route of a viewset found; --all lists the others.", err=True)


def methods_of(route: ListedRoute) -> tuple[str, ...]:
    """Return the methods that a route answers: a viewset's GET answers HEAD as well."""
    heads = route.plan is not None and route.plan.method == "GET"
    return tuple(sorted({*route.methods, "HEAD"} if heads else route.methods))


def row_of(route: ListedRoute, *, explained: bool) -> Row:
    """Return what is printed of a route."""
    plan = route.plan
    return Row(
        methods=methods_of(route),
        path=route.path,
        name=route.name,
        operation=route.operation,
        viewset="" if plan is None else plan.where.removesuffix(f".{plan.action}"),
        action=getattr(route.endpoint, "__qualname__", "") if plan is None else plan.action,
        explanation=explain(plan) if explained and plan is not None else None,
    )

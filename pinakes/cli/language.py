"""`pinakes language`: the language whose stems full text compares."""

from __future__ import annotations

import json

import click

from pinakes.cli.options import as_json
from pinakes.cli.render import note
from pinakes.settings import load_settings
from pinakes.store.collections import open_collection
from pinakes.store.database import open_database
from pinakes.store.languages import PLAIN, guess_language, language_of, set_language, stored_texts


@click.command("language")
@click.argument("collection", metavar="NAME")
@click.argument("language", required=False)
@as_json
def command(*, collection: str, language: str | None, as_json: bool) -> None:
    """Show the language of the collection NAME's words, or change it to LANGUAGE. No picture is embedded again.

    In a language, full text compares stems ("ship" finds "ships") and passes over words such as "the"; "simple"
    compares whole words. Searches go on while a change is made.
    """
    settings = load_settings()
    with open_database(settings) as database, database.connection() as (conn, _):
        open_collection(conn, collection)
        changed = None if language is None else set_language(conn, collection, language)
        # Read again, since a change that was interrupted earlier may still be unfinished.
        entered = language_of(conn, collection)
        guess = guess_language(conn, stored_texts(conn, collection))
    document = {
        "collection": collection,
        "language": entered.name,
        "guess": None if guess is None else guess.language,
        "changed": changed,
        "unfinished": bool(entered.earlier),
    }
    if as_json:
        click.echo(json.dumps(document))
        return
    how = "whole words" if entered.name == PLAIN else f"{entered.name} stems"
    updated = "" if changed is None else f"; {changed:,} pictures were brought up to date"
    click.echo(f"full text of {collection} compares {how}{updated}")
    if language is None and guess is not None and guess.language != entered.name:
        click.echo(note(f"the texts look {guess}. To change it: pinakes language {collection} {guess.language}"))
    if entered.earlier:
        click.echo(note(f"a change was interrupted; to end it: pinakes language {collection} {entered.name}"))

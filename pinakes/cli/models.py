"""`pinakes models`: the models that run on this machine, and how to fetch one."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import click

from pinakes.cli.options import as_json, refuse_before
from pinakes.cli.render import WIDTH, facts, table
from pinakes.embedders.local.clip_files import Folders, download, download_caches, locate
from pinakes.embedders.local.clip_models import DEFAULT_PAIR, PAIRS, RECALL_SOURCE, Pair, pair_named
from pinakes.embedders.local.declarations import CLIP, CLIP_PATH
from pinakes.embedders.local.session import require
from pinakes.errors import EmbedderError
from pinakes.settings import Settings, load_settings


@click.group("models", invoke_without_command=True)
@as_json
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> None:
    """List the models of pictures and words that run on this machine, and which of them are here.

    They need no account. `pinakes models get NAME` fetches one; `pinakes ingest FOLDER --embedder clip --model NAME`
    uses it.
    """
    if ctx.invoked_subcommand is not None:
        refuse_before(ctx, ctx.invoked_subcommand)
        return
    settings = load_settings()
    documents = [_document(pair, settings) for pair in PAIRS]
    if as_json:
        click.echo(json.dumps({"models": documents, "recall_source": RECALL_SOURCE}))
        return
    rows = [
        (
            "*" if each["recommended"] else "",
            each["name"].rpartition("/")[2],
            "yes" if each["folders"] else "no",
            f"{each['gigabytes']:.1f} GB",
            each["languages"],
            each["licence"],
            each["dimension"],
            "–" if each["recall"] is None else f"{each['recall']:.1f} %",
        )
        for each in documents
    ]
    header = ("", "model", "here", "download", "languages", "licence", "dim", "recall")
    click.echo(table(header, rows, right=(3, 6, 7), whole=(1,)))
    click.echo()
    if here := [(each["name"].rpartition("/")[2], "\n".join(each["folders"])) for each in documents if each["folders"]]:
        click.echo(facts(here) + "\n")
    legend = [
        "* is recommended: pinakes models get fetches it, and --embedder clip uses it unless --model names another.",
        f"Recall: for English on Crossmodal-3600, from {RECALL_SOURCE}; – means that the model is not listed there.",
        f"Any other image encoder, such as DINOv2, runs from an ONNX file: --embedder onnx ({CLIP.guide}).",
    ]
    click.echo("\n".join(textwrap.fill(line, WIDTH, break_on_hyphens=False) for line in legend))


@command.command("get", short_help="Fetch a model and check it.")
@click.argument("name", default=DEFAULT_PAIR.name, metavar="[NAME]")
def get(*, name: str) -> None:
    """Fetch a model, show the progress, and check it against its published digests.

    NAME is one that `pinakes models` lists; without it, the recommended one. What is already here is not fetched again,
    and after an interruption the same command continues with the incomplete files. Files are kept in FASTEMBED_CACHE_PATH
    if it is set, otherwise in Hugging Face's cache; HF_ENDPOINT names another hub.
    """
    pair = pair_named(name)
    settings = load_settings()
    CLIP.check_packages()  # before a gigabyte is fetched that nothing here could run
    found = _found(pair, settings)
    if found is None:
        download(pair)
        found = locate(pair, _own_folder(settings), download_caches())
    click.echo(f"{pair.short_name} is complete: {' and '.join(_shown(found))}")
    model = "" if pair == DEFAULT_PAIR else f" --model {pair.short_name}"
    click.echo(f"next: pinakes ingest FOLDER --embedder clip{model}")


def _own_folder(settings: Settings) -> Path | None:
    path = CLIP_PATH.value(settings.values)
    return Path(path).expanduser() if path else None


def _document(pair: Pair, settings: Settings) -> dict[str, Any]:
    return {
        "name": pair.name,
        "recommended": pair == DEFAULT_PAIR,
        "folders": _shown(_found(pair, settings)),
        "gigabytes": round(pair.gigabytes, 2),
        "languages": pair.languages,
        "licence": pair.licence,
        "dimension": pair.dimension,
        "recall": pair.recall,
    }


def _found(pair: Pair, settings: Settings) -> Folders | None:
    """Where it is on this machine; None if it is not, or if what would run it is not installed."""
    # Without huggingface_hub the place of its cache is unknown; a folder that the user has named is still searched.
    try:
        require("huggingface_hub.constants")
    except EmbedderError:
        caches = []
    else:
        caches = download_caches()
    try:
        return locate(pair, _own_folder(settings), caches)
    except EmbedderError:
        return None


def _shown(found: Folders | None) -> list[str]:
    return [] if found is None else sorted({str(found.vision), str(found.text)})

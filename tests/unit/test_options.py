"""One declaration an option: the command line, Prefect's form and Python's own signatures say the same."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click
import pytest
from prefect import Flow
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.evaluate import evaluate as evaluate_flow
from flows.ingest import ingest as ingest_flow
from flows.search import search as search_flow
from pinakes import Collection
from pinakes.cli.evaluate import command as evaluate_command
from pinakes.cli.ingest import command as ingest_command
from pinakes.cli.search import command as search_command
from pinakes.errors import UsageError
from pinakes.evaluation.request import EvaluationRequest
from pinakes.ingest.request import IngestRequest
from pinakes.options import REQUIRED, Declared, completed, declared
from pinakes.query.query_options import QueryOptions
from pinakes.settings import load_settings
from pinakes.web.models import SearchParameters

WAYS: list[tuple[type, click.Command, Flow[Any, Any], set[str]]] = [
    (IngestRequest, ingest_command, ingest_flow, {"as_json", "sheet"}),
    (EvaluationRequest, evaluate_command, evaluate_flow, {"as_json", "plot"}),
    (QueryOptions, search_command, search_flow, {"as_json", "exact", "excel", "iiif", "page", "sheet"}),
]
EACH = [(command, flow, option) for model, command, flow, _ in WAYS for option in declared(model)]
NAMES = [f"{command.name}-{option.name}" for command, _, option in EACH]


def default_of(option: Declared) -> Any:
    return None if option.default in (REQUIRED, (), {}) or option.setting else option.default


@pytest.mark.parametrize(("model", "command", "flow", "own"), WAYS, ids=["ingest", "evaluate", "search"])
def test_the_command_and_the_flow_take_the_declared_options_and_no_others(
    model: type, command: click.Command, flow: Flow[Any, Any], own: set[str]
) -> None:
    names = [option.name for option in declared(model)]
    assert len(names) == len(set(names))
    assert {parameter.name for parameter in command.params} == {*names, *own}
    assert sorted(inspect.signature(flow.fn).parameters) == sorted(names)
    assert list(flow.parameters.properties) == list(inspect.signature(flow.fn).parameters)


def test_the_form_begins_with_what_most_people_set() -> None:
    fields = sorted(ingest_flow.parameters.properties.items(), key=lambda field: field[1]["position"])
    names = [name for name, _ in fields]
    assert names[:6] == ["source", "metadata", "collection", "embedder", "dry_run", "max_cost"]
    assert names[6:10] == ["limit", "retry_failed", "allow_failures", "prune"]
    rest = [option.name for option in declared(IngestRequest) if option.name not in names[:10]]
    assert names[10:] == rest


WRONG: list[tuple[Flow[Any, Any], str, Any]] = [
    (ingest_flow, "batch_size", -5),
    (ingest_flow, "prune_share", 7),
    (ingest_flow, "embedder", "nope"),
    (ingest_flow, "collection", "Not A Name"),
    (ingest_flow, "collection", "a" * 64),
    (ingest_flow, "rate", "fast"),
    (ingest_flow, "allow_failures", "many"),
    (ingest_flow, "runner", "spark"),
    (search_flow, "collection", "Bad"),
    (search_flow, "mode", "magic"),
    (evaluate_flow, "collection", "9"),
    (evaluate_flow, "what", "x"),
    (ingest_flow, "map", ["author=Painter"]),
]


@pytest.mark.parametrize(("flow", "name", "value"), WRONG, ids=[f"{name}={value}" for _, name, value in WRONG])
def test_prefects_server_refuses_what_cannot_be_right(flow: Flow[Any, Any], name: str, value: Any) -> None:
    schema = flow.parameters.model_dump_for_openapi()
    with pytest.raises(ValidationError, match=name):
        validate({name: value}, schema, raise_on_error=True)


@pytest.mark.parametrize(
    "given",
    [
        {"collection": "semart_2", "rate": "20/min,5000/day", "runner": "dask://host:8786", "allow_failures": "0.5%"},
        {"collection": "", "rate": "none", "runner": "threads", "allow_failures": "3"},
        {"collection": None, "rate": "30/s burst 30", "runner": "ray"},
        {"map": {"author": "Artist Display Name"}, "split": {"Tags": "|"}, "years": "From,To", "profile": "met"},
        {"map": None, "split": {}, "years": "", "profile": None},
    ],
)
def test_prefects_server_takes_what_a_run_takes(given: dict[str, Any]) -> None:
    validate(given, ingest_flow.parameters.model_dump_for_openapi(), raise_on_error=True)


@pytest.mark.parametrize(("command", "flow", "option"), EACH, ids=NAMES)
def test_default_and_description_are_those_of_the_declaration(
    command: click.Command, flow: Flow[Any, Any], option: Declared
) -> None:
    (parameter,) = (each for each in command.params if each.name == option.name)
    field = flow.parameters.properties[option.name]
    assert field["description"].startswith(option.option.help)
    assert field["default"] == default_of(option)
    if isinstance(parameter, click.Option):
        assert (parameter.help or "").startswith(option.option.help)
        assert parameter.to_info_dict()["default"] in (
            default_of(option),
            () if parameter.multiple else default_of(option),
        )
    assert option.option.help.endswith(".")


def test_the_form_shows_what_may_be_chosen_and_the_bounds() -> None:
    fields = ingest_flow.parameters.properties
    assert fields["format"]["enum"] == ["parquet", "csv"]
    assert "palette" in fields["embedder"]["enum"]
    assert (fields["batch_size"]["minimum"], fields["batch_size"]["maximum"]) == (1, 4096)
    assert fields["metadata"]["anyOf"][0] == {"type": "array", "items": {"type": "string"}}
    assert (search_flow.parameters.properties["k"]["minimum"], search_flow.parameters.required) == (1, [])


def test_the_page_and_python_ask_with_the_same_names_and_defaults() -> None:
    asked = {option.name: option.default for option in declared(QueryOptions) if option.name != "collection"}
    api = {name: field.get_default(call_default_factory=True) for name, field in SearchParameters.model_fields.items()}
    python = {n: p.default for n, p in inspect.signature(Collection.search).parameters.items() if n != "self"}
    # The page calls the words q, and takes a picture as an upload; Python takes vectors as well.
    shared = asked.keys() - {"text", "image"}
    assert api.keys() == shared | {"q", "upload"}
    assert python.keys() == asked.keys() | {"vector"}
    assert all((tuple(api[name]) if isinstance(api[name], list) else api[name]) == asked[name] for name in shared)
    assert all(python[name] == asked[name] for name in asked)


def test_pairs_are_a_repeatable_option_and_a_dictionary_in_the_flow() -> None:
    (option,) = (each for each in ingest_command.params if each.name == "map")
    context = click.Context(ingest_command)
    given = option.process_value(context, ("author=Artist = Maker", " title =T", "date="))
    assert given == {"author": "Artist = Maker", "title": "T", "date": ""}
    with pytest.raises(UsageError, match=r"--map 'author' is not of the form NAME=COLUMN"):
        option.process_value(context, ("author",))
    fields = ingest_flow.parameters.properties
    assert fields["map"]["anyOf"][0] == {"type": "object", "additionalProperties": {"type": "string"}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"map": {"painter": "x"}}, "--map painter=…: the left side must be one of description, author"),
        ({"years": "a,b,c"}, "--years a,b,c: name the column of the first"),
        ({"split": {"Tags": ""}}, r"--split Tags=: say what stands between two values"),
        ({"profile": "moma"}, "none of iiif, met, rijksmuseum, semart, tate or none, nor a file ending in .toml"),
        ({"metadata": (), "map": {"author": "x"}}, "name it with --metadata FILE"),
    ],
)
def test_what_is_said_of_columns_is_checked_at_once(given: dict[str, Any], says: str) -> None:
    asked: dict[str, Any] = {"source": "in", "collection": "c", "checkpoint": "k", "metadata": ("t.csv",), **given}
    with pytest.raises(UsageError, match=says):
        IngestRequest.of(**asked)


def test_what_is_not_given_comes_from_the_settings(tmp_path: Path) -> None:
    settings = load_settings({"PINAKES_HOME": str(tmp_path), "PINAKES_SOURCE": "in", "PINAKES_COLLECTION": "mine"})
    options = completed(IngestRequest, {"source": None, "collection": "other", "metadata": (), "limit": 3}, settings)
    assert (options["source"], options["collection"], options["limit"]) == ("in", "other", 3)
    assert options["checkpoint"] == str(tmp_path / "checkpoints")
    with pytest.raises(UsageError, match="no SOURCE"):
        IngestRequest.with_settings(load_settings({"PINAKES_HOME": str(tmp_path)}), {"source": None})

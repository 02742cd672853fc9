"""Addresses of Cloud SQL, and what is said where the connector is missing."""

from __future__ import annotations

import importlib.util

import psycopg
import pytest

from pinakes.errors import DatabaseError, UsageError
from pinakes.store import cloudsql
from pinakes.store.addresses import address
from pinakes.store.cloudsql import CloudSqlAddress, parse_address
from pinakes.store.connection import connect


def test_an_address_is_read() -> None:
    read = parse_address("cloudsql://me:p%40ss%2Fword@proj:europe-west1:museum/art?ip=private")
    assert read == CloudSqlAddress("proj:europe-west1:museum", "me", "p@ss/word", "art", "private")


def test_without_a_password_the_user_is_an_iam_principal() -> None:
    read = parse_address("cloudsql://sa%40proj.iam@example.com:proj:eu:museum/art")
    assert (read.instance, read.user, read.password, read.ip) == (
        "example.com:proj:eu:museum",
        "sa@proj.iam",
        None,
        "public",
    )


@pytest.mark.parametrize(
    "url", ["cloudsql://me:secret@museum/art", "cloudsql://me:secret@p:r:i", "cloudsql://p:r:i/art"]
)
def test_another_form_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(UsageError, match="PROJECT:REGION:INSTANCE") as caught:
        parse_address(url)
    assert "secret" not in str(caught.value)


def test_messages_name_the_instance_and_no_password() -> None:
    assert address("cloudsql://me:secret@p:r:i/art") == "p:r:i/art"


@pytest.mark.skipif(importlib.util.find_spec("google.cloud.sql") is not None, reason="the connector is installed")
def test_a_missing_connector_names_the_extra() -> None:
    with pytest.raises(DatabaseError, match=r"\.venv/bin/python -m pip install -e '\.\[cloudsql\]'"):
        connect("cloudsql://me:secret@p:r:i/art")


class Instance:
    """Google's connector as far as it is used here: `connect` gives a connection to `dsn`, or raises."""

    def __init__(self, dsn: str | None = None) -> None:
        self.dsn = dsn

    def connect(self, instance: str, driver: str, **options: object) -> psycopg.Connection[tuple[object, ...]]:
        assert (instance, driver, options["db"]) == ("p:r:i", "psycopg", "art")
        if self.dsn is None:
            raise RuntimeError("instance p:r:i does not exist")
        return psycopg.connect(self.dsn)


def test_what_the_connector_raises_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudsql, "_connector", Instance)
    with pytest.raises(DatabaseError, match="p:r:i/art cannot be reached: RuntimeError: instance p:r:i does") as caught:
        connect("cloudsql://me:secret@p:r:i/art")
    assert "secret" not in str(caught.value)
    assert isinstance(caught.value.__cause__, psycopg.OperationalError)  # worth asking again, as a lost connection is

"""Addresses of databases: what is read, and that nothing of a malformed one is ever shown."""

from __future__ import annotations

import traceback

import pytest

from pinakes.embedders.declaration import Surroundings
from pinakes.errors import PinakesError
from pinakes.settings import load_settings
from pinakes.store.addresses import LIMITER_URL, address, check_address, reason
from pinakes.store.connection import connect
from pinakes.store.database import Database

SECRET = "Tr0ub4dor"

MALFORMED = [
    f"postgresql://museum:12/{SECRET}@127.0.0.1:1/art",  # a / in the password: the host would be "museum"
    f"postgresql://museum:{SECRET}/x@127.0.0.1:1/art",
    f"postgresql://museum:a@{SECRET}@127.0.0.1:1/art",
    f"postgresql://museum:{SECRET}%zz@127.0.0.1:1/art",
    f"postgresql://museum:100%{SECRET}@127.0.0.1:1/art",
    f"postgresql://museum:{SECRET}%00@127.0.0.1:1/art",
    f"postgresql://museum:{SECRET} x@127.0.0.1:1/art",
    f"postgresql://museum:1/?{SECRET}@127.0.0.1:1/art",
    f"postgresql://museum:1/x?{SECRET}=2@127.0.0.1:1/art",
    f"postgresql:/museum:{SECRET}@127.0.0.1:1/art",
    f"postgresql:museum:{SECRET}@127.0.0.1:1/art?sslmode=require",
    f"POSTGRESQL://museum:{SECRET}@127.0.0.1:1/art?sslmode=require",
    f"mysql://museum:{SECRET}@127.0.0.1:1/art",
    f"postgresql+psycopg://museum:{SECRET}@127.0.0.1:1/art",
    f"postgresql://museum:{SECRET}@[::1/art",
    f"postgresql://museum:{SECRET}@127.0.0.1:1:2/art",
    f"postgresql://museum:{SECRET}@127.0.0.1:{SECRET}/art",
    f"postgresql://museum@127.0.0.1:1/art?passwd={SECRET}",
    f"postgresql://museum@127.0.0.1:1/art?password=a&{SECRET}",
    f"'postgresql://museum:{SECRET}@127.0.0.1:1/art'",
    f"museum:{SECRET}@127.0.0.1/art",
    f"host=museum:{SECRET}@127.0.0.1 port=1",
    f"host=127.0.0.1 port=1 password=a {SECRET}",
    f"host=127.0.0.1 port=1 password='{SECRET}",
    f"host=127.0.0.1 port=1 password='it''s{SECRET}'",
    f"dbname=postgresql://museum:{SECRET}@127.0.0.1:1/art",
    f"cloudsql://museum:{SECRET}@art/pictures",
]
"""Mistakes that people make, each with a password in it."""


@pytest.mark.parametrize("dsn", MALFORMED)
def test_nothing_of_a_malformed_address_is_shown(dsn: str) -> None:
    for read in (address, connect, check_address):
        with pytest.raises(PinakesError, match="PINAKES_DATABASE_URL is not") as caught:
            read(dsn)
        assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://", "the local socket"),
        ("postgresql:///art", "the local socket/art"),
        ("postgres://museum:p%2Fs%40s@db.example.org:5433/art?sslmode=require&ssl=true", "db.example.org:5433/art"),
        ("postgresql://museum:a=b?c:d#e@db.example.org/art", "db.example.org/art"),
        ("postgresql://museum%40server:x@one:1,two:2/art?target_session_attrs=read-write", "one,two:1,2/art"),
        ("postgresql://museum@[::1]:5432/art?options=-c%20jit%3Doff", "::1:5432/art"),
        ("postgresql://%2Fvar%2Frun%2Fpostgresql/art", "/var/run/postgresql/art"),
        ("postgresql:///art?host=/var/run/postgresql", "/var/run/postgresql/art"),
        ("host=/srv/a@b/run port=5 user=museum passfile='/srv/my pass' dbname=art", "/srv/a@b/run:5/art"),
    ],
)
def test_a_right_address_is_read(dsn: str, shown: str) -> None:
    assert address(dsn) == shown


def test_the_setting_is_named() -> None:
    with pytest.raises(PinakesError, match="PINAKES_LIMITER_URL is not an address"):
        check_address("art", LIMITER_URL)
    with pytest.raises(PinakesError, match="PINAKES_LIMITER_URL is not of the form cloudsql://"):
        check_address("cloudsql://me@p:r/db", LIMITER_URL)


@pytest.mark.parametrize("host", ["a..b", "a" * 70])
def test_a_host_that_is_no_name_is_a_sentence(host: str) -> None:
    with pytest.raises(PinakesError, match="cannot be reached") as caught:
        connect(f"postgresql://museum:{SECRET}@{host}:1/art")
    assert SECRET not in str(caught.value)


def test_the_text_of_the_driver_loses_the_password() -> None:
    parts = check_address(f"host=127.0.0.1 user=museum:{SECRET} password='s e'")
    said = reason(ValueError(f'role "museum:{SECRET}"\n of s e is unknown. '), parts)
    assert said == 'role "museum:***" of *** is unknown'


def test_settings_and_databases_hide_their_addresses() -> None:
    dsn = f"postgresql://museum:{SECRET}@127.0.0.1/art"
    settings = load_settings({"PINAKES_DATABASE_URL": dsn, "PINAKES_LIMITER_URL": dsn})
    assert settings.database_url == dsn
    assert SECRET not in repr(settings)
    assert SECRET not in repr(Database(dsn))
    assert SECRET not in repr(Surroundings(settings.values, settings.home))

"""The names of the settings in the Azure tutorial's `.env`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pinakes.embedders.remote.azure import from_settings
from pinakes.errors import SettingsError
from pinakes.settings import load_settings
from pinakes.store.addresses import address, check_address

HOST = "my-server.postgres.database.azure.com"


def test_the_database_of_the_tutorial_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        f"POSTGRES_HOST={HOST}\nPOSTGRES_DB_NAME=citus\nPOSTGRES_USER=me@example.org\nPOSTGRES_PASSWORD='p@ss/w:rd%'\n"
    )
    settings = load_settings({}, tmp_path)
    assert settings.database_url is not None
    parts = check_address(settings.database_url)
    assert parts == {
        "host": HOST,
        "port": "5432",
        "dbname": "citus",
        "user": "me@example.org",
        "password": "p@ss/w:rd%",
        "sslmode": "require",
    }
    assert address(settings.database_url) == f"{HOST}:5432/citus"
    assert "p@ss" not in repr(settings)


@pytest.mark.parametrize(
    ("values", "url"),
    [
        ({}, None),
        ({"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": "of the compose file"}, None),
        ({"POSTGRES_HOST": "127.0.0.1"}, "postgresql://127.0.0.1:5432/postgres?sslmode=prefer"),
        ({"POSTGRES_HOST": "/run/postgresql"}, "postgresql://%2Frun%2Fpostgresql:5432/postgres?sslmode=prefer"),
        (
            {"POSTGRES_HOST": "db", "POSTGRES_PORT": "6432", "POSTGRES_DB": "art", "POSTGRES_SSLMODE": "verify-full"},
            "postgresql://db:6432/art?sslmode=verify-full",
        ),
        ({"POSTGRES_HOST": "db", "PINAKES_DATABASE_URL": "postgresql://ours/art"}, "postgresql://ours/art"),
    ],
)
def test_our_own_setting_comes_first_and_without_a_host_there_is_no_database(
    values: dict[str, str], url: str | None, tmp_path: Path
) -> None:
    found = load_settings(values, tmp_path).database_url
    assert found == url
    assert url is None or check_address(url)


@pytest.mark.parametrize("key", ["model-version", "modelVersion"])
def test_the_versions_of_the_tutorial_are_read(key: str, tmp_path: Path) -> None:
    said = {"VISION_VERSION": f"?api-version=2024-02-01&{key}=2022-04-11"}
    values = load_settings(said, tmp_path).values
    assert values["PINAKES_AZURE_API_VERSION"] == "2024-02-01"
    assert values["PINAKES_AZURE_MODEL_VERSION"] == "2022-04-11"
    ours = load_settings(said | {"PINAKES_AZURE_MODEL_VERSION": "2023-04-15"}, tmp_path).values
    assert ours["PINAKES_AZURE_MODEL_VERSION"] == "2023-04-15"


def test_a_version_that_azure_no_longer_answers_says_what_replaces_it(tmp_path: Path) -> None:
    said = {"VISION_ENDPOINT": "https://v.example.org", "VISION_KEY": "k"}
    said["VISION_VERSION"] = "?api-version=2023-02-01-preview&modelVersion=latest"
    with pytest.raises(SettingsError, match=r"2023-02-01-preview .*VISION_VERSION\), or write 2024-02-01"):
        from_settings(load_settings(said, tmp_path).values, version="2023-04-15")


def test_what_clients_of_buckets_read_is_put_where_they_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("AWS_ENDPOINT_URL", "AZURE_STORAGE_SAS_TOKEN")
    for name in names:
        monkeypatch.setenv(name, "of the environment")
    monkeypatch.delenv("AZURE_STORAGE_SAS_TOKEN")
    (tmp_path / ".env").write_text("".join(f"{name}=of the file\n" for name in names))
    load_settings(directory=tmp_path)
    assert [os.environ[name] for name in names] == ["of the environment", "of the file"]

"""Settings that blocks of Prefect's server hold."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pinakes.embedders.declaration import Choice, Surroundings
from pinakes.embedders.registry import open_embedder
from pinakes.errors import SettingsError

ACCOUNT = {"type": "service_account", "project_id": "museum", "private_key": "s3cret"}


def test_a_secret_block_holds_a_key(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from prefect.blocks.system import Secret

    from tasks.blocks import run_settings

    Secret(value="s3cret").save("azure-key")
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("PINAKES_AZURE_KEY=block:secret/azure-key\nOF_OTHERS=block:whatever\n")
    monkeypatch.setenv("PINAKES_AZURE_KEY", "")  # taken back after the test
    monkeypatch.delenv("PINAKES_AZURE_KEY")
    settings = run_settings()
    assert settings.values["PINAKES_AZURE_KEY"] == "s3cret"
    assert settings.values["OF_OTHERS"] == "block:whatever"
    assert "s3cret" not in repr(settings) + caplog.text


def test_a_block_of_google_becomes_a_private_file(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from prefect.blocks.core import Block
    from prefect.blocks.fields import SecretDict

    from tasks.blocks import run_settings

    class GcpCredentials(Block):
        """With the fields of prefect-gcp's."""

        _block_type_slug = "gcp-credentials"
        service_account_info: SecretDict

    GcpCredentials(service_account_info=ACCOUNT).save("museum")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "block:gcp-credentials/museum")
    file = Path(run_settings().values["GOOGLE_APPLICATION_CREDENTIALS"])
    assert json.loads(file.read_text()) == ACCOUNT
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.environ["GOOGLE_APPLICATION_CREDENTIALS"] == str(file)


def test_a_block_that_is_missing_is_named(prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from tasks.blocks import run_settings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PINAKES_AZURE_KEY", "block:secret/nowhere")
    with pytest.raises(SettingsError, match="PINAKES_AZURE_KEY names the block 'secret/nowhere'"):
        run_settings()


def test_without_prefect_the_message_says_who_reads_blocks(tmp_path: Path) -> None:
    values = {"PINAKES_AZURE_KEY": "block:secret/azure-key", "PINAKES_AZURE_ENDPOINT": "https://x.example"}
    with pytest.raises(SettingsError, match="PINAKES_AZURE_KEY of the embedder azure names a block"):
        open_embedder(Choice("azure", None), Surroundings(values, tmp_path))

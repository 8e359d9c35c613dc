"""Settings: file, environment, refusals that name the key and keep the value to themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.embedded.settings import EmbeddedSettings
from shared.settings import Settings, SettingsError, printed


class Inner(Settings):
    depth: int = 1
    width: int = 1


class Sample(Settings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_")

    port: Annotated[int, Field(ge=0, le=65_535)] = 8080
    inner: Inner = Inner()
    secret: SecretStr | None = None


def file_with(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return file


def test_the_environment_lies_on_top_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = file_with(tmp_path, "port: 1\ninner: {depth: 2, width: 2}\n")
    monkeypatch.setenv("SAMPLE_INNER__DEPTH", "3")
    settings = Sample.read(file, below={"port": 0})
    assert (settings.port, settings.inner.depth, settings.inner.width) == (1, 3, 2)


def test_constructing_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PORT", "1")
    assert Sample().port == 8080
    assert Sample.read().port == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot: 1\n", r"prot \(SAMPLE_PROT\): Extra inputs"),
        ("port: 70000\n", r"port \(SAMPLE_PORT\): Input should be less"),
        ("inner: {depht: 1}\n", r"inner\.depht"),
        ("- a\n", "mapping"),
        ("port: [\n", "line 2: this is not YAML"),
        ("secret: hush\n", "secret: secrets come from the environment only"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Sample.read(file_with(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml: No such file"):
        Sample.read(tmp_path / "absent.yaml")


def test_a_refusal_keeps_the_value_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_PORT", "hush-hush")
    with pytest.raises(SettingsError) as caught:
        Sample.read()
    assert "hush-hush" not in str(caught.value)


def test_printing_masks_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_SECRET", "hush-hush")
    text = printed(Sample.read())
    assert "hush-hush" not in text
    assert "secret: '**********'" in text


def test_the_newcomers_variables_are_honoured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (
        ("HOST", "0.0.0.0"),
        ("PORT", "1"),
        ("ADMIN_PORT", "2"),
        ("SMTP_PORT", "3"),
        ("DATA_DIR", str(tmp_path)),
    ):
        monkeypatch.setenv(name, value)
    settings = EmbeddedSettings.read()
    assert (settings.host, settings.port, settings.admin_port, settings.smtp_port) == ("0.0.0.0", 1, 2, 3)
    assert settings.data_dir == tmp_path


def test_the_newcomers_defaults() -> None:
    settings = EmbeddedSettings()
    assert (settings.host, settings.port, settings.admin_port, settings.smtp_port) == ("127.0.0.1", 8080, 9091, 2525)
    assert settings.data_dir == Path(".data")

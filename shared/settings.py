"""Settings: one YAML file, the environment on top, unknown keys refused, read once.

Constructing a settings model reads nothing; `read` is the only place that looks at a file or the environment. Secrets
come from the environment alone, so that the file can be shown to anybody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.service import CannotStart

CONFIG_FILE_VARIABLE = "SWITCHDESK_CONFIG"


class SettingsError(CannotStart):
    """Settings that cannot be used: one line per fault, with the key's name and never with its value."""


class Settings(BaseSettings):
    """What every service's settings inherit."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        validate_default=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @classmethod
    def read(cls, file: Path | None = None, *, below: Mapping[str, Any] | None = None) -> Self:
        """The effective settings: the model's defaults, then `below`, then `file`, then the environment.

        `below` is for a composition that knows better than the model. Raises `SettingsError` naming every faulty key.
        """
        written = _read_yaml(file) if file else {}
        for name, field in cls.model_fields.items():
            if field.annotation in (SecretStr, SecretStr | None) and name in written:
                raise SettingsError(f"{file}: {name}: secrets come from the environment only ({name.upper()})")
        try:
            return cls(**_merged(_merged(below or {}, written), EnvSettingsSource(cls)()))
        except ValidationError as error:
            raise SettingsError("\n".join(_fault(cls, fault) for fault in error.errors())) from None


def config_file() -> Path | None:
    """The file that the environment names in `SWITCHDESK_CONFIG`, if it does."""
    named = os.environ.get(CONFIG_FILE_VARIABLE)
    return Path(named) if named else None


def printed(settings: Settings) -> str:
    """The effective settings as YAML, secrets masked."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def _fault(model: type[Settings], fault: Any) -> str:
    """One fault with the name of the key and of the variable that sets it; never with the value."""
    place = ".".join(str(part) for part in fault["loc"])
    variable = (model.model_config.get("env_prefix") or "") + "__".join(str(part) for part in fault["loc"])
    return f"settings: {place} ({variable.upper()}): {fault['msg']}"


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise SettingsError(f"{file}{where}: this is not YAML") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: settings are a mapping of names to values")
    return content


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        result[key] = _merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return result

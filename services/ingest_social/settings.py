"""Settings of the social channels; from the environment with the prefix `SOCIAL_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.contracts.message import Name, Strict
from shared.quotas import QuotaSettings


class TelegramAccount(Strict):
    """One bot."""

    workspace: str
    webhook_secret: SecretStr = Field(
        description="`secret_token` of setWebhook: 1 to 256 of A-Z a-z 0-9 _ -.", min_length=1, max_length=256
    )
    bot_token: SecretStr | None = Field(None, description="To answer with; without it replies go to the outbox.")


class MessengerAccount(Strict):
    """One page."""

    workspace: str
    app_secret: SecretStr = Field(description="Signs what Meta sends us.", min_length=1)
    verify_token: SecretStr = Field(description="Meta shows it in the handshake.", min_length=1)
    page_token: SecretStr | None = Field(None, description="To answer with; without it replies go to the outbox.")


class SocialSettings(QuotaSettings):
    """Which bots and pages there are, and where their APIs are."""

    model_config = SettingsConfigDict(env_prefix="SOCIAL_")

    telegram: dict[Name, TelegramAccount] = Field(default_factory=dict, description="Bots by account name.")
    messenger: dict[Name, MessengerAccount] = Field(default_factory=dict, description="Pages by account name.")
    telegram_api: str = "https://api.telegram.org"
    messenger_api: str = "https://graph.facebook.com/v23.0"
    data_dir: Path = Field(Path(".data"), description="`outbox/` and `dead_letters/` lie here.")
    largest_body: Annotated[int, Field(ge=1024)] = Field(262_144, description="Bytes of a webhook's request.")
    send_timeout_s: Annotated[float, Field(gt=0)] = 10.0
    give_up_after_s: Annotated[float, Field(gt=0)] = Field(
        86_400, description="A reply older than this is failed (Messenger's own window is a day)."
    )

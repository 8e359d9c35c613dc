"""Settings of the mail service; from the environment with the prefix `MAIL_`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.contracts.message import Name
from shared.quotas import QuotaSettings


class EmailSettings(QuotaSettings):
    """Which mailboxes there are, where we listen, and how replies leave."""

    model_config = SettingsConfigDict(env_prefix="MAIL_")

    accounts: dict[Name, str] = Field(default_factory=dict, description="Our address (lower case) to workspace.")
    host: str = Field(
        "127.0.0.1", description="Where to listen; nothing is verified here, so only our own MTA may reach it."
    )
    port: Annotated[int, Field(ge=0, le=65_535)] = 2525
    hostname: str = Field("switchdesk.invalid", description="How we name ourselves in SMTP.")
    largest_mail: Annotated[int, Field(ge=1024)] = Field(1_048_576, description="Bytes; announced with SIZE.")
    most_connections: Annotated[int, Field(ge=1)] = 100
    most_recipients: Annotated[int, Field(ge=1)] = 50
    timeout_s: Annotated[float, Field(gt=0)] = Field(60.0, description="A client silent for so long is hung up on.")
    parse_timeout_s: Annotated[float, Field(gt=0)] = Field(2.0, description="One mail's time in the parser's process.")
    signing_secret: SecretStr = Field(description="Signs our Message-IDs; at least 16 characters.", min_length=16)
    data_dir: Path = Field(Path(".data"), description="`outbox/` lies here.")
    sender_name: str = Field("", description="Display name of our replies, if there is to be one.")
    relay_host: str | None = Field(None, description="SMTP relay for replies; without one they go to the outbox.")
    relay_port: Annotated[int, Field(ge=1, le=65_535)] = 587
    relay_tls: Literal["none", "starttls", "tls"] = "starttls"
    relay_user: str | None = None
    relay_password: SecretStr | None = None
    relay_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    give_up_after_s: Annotated[float, Field(gt=0)] = Field(86_400, description="A reply older than this is failed.")

"""Settings of the chat service; from the environment with the prefix `CHAT_`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.contracts.message import Name
from shared.settings import Settings


class ChatSettings(Settings):
    """Which accounts there are, who may connect, and how much of it."""

    model_config = SettingsConfigDict(env_prefix="CHAT_")

    accounts: dict[Name, str] = Field(default_factory=dict, description="Chat account to workspace.")
    session_secret: SecretStr = Field(description="Signs session tokens; at least 16 characters.", min_length=16)
    session_lifetime_s: Annotated[int, Field(ge=60)] = Field(86_400, description="How long a session can be resumed.")
    origins: tuple[str, ...] = Field(
        (), description="Origins of pages that may embed the chat, as `https://shop.example`, beside our own."
    )
    grace_s: Annotated[float, Field(ge=0)] = Field(
        45.0, description="How long a customer may be away before what still waits is abandoned."
    )
    messages_per_minute: Annotated[int, Field(ge=1)] = Field(10, description="Per session.")
    message_burst: Annotated[int, Field(ge=1)] = Field(10, description="Messages at once, before the rate counts.")
    sockets_per_ip: Annotated[int, Field(ge=1)] = Field(20, description="Open connections of one address.")
    sessions_per_ip_minute: Annotated[int, Field(ge=1)] = Field(30, description="New sessions of one address.")
    ping_s: Annotated[float, Field(gt=0)] = Field(25.0, description="Pause between pings; two unanswered end a socket.")
    hello_timeout_s: Annotated[float, Field(gt=0)] = Field(10.0, description="How long the first frame may take.")
    send_timeout_s: Annotated[float, Field(gt=0)] = Field(10.0, description="A reader slower than this is cut off.")
    longest_wait_s: Annotated[float, Field(gt=0)] = Field(25.0, description="The longest long poll.")

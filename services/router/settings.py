"""Settings of the router and its API; from the environment with the prefix `ROUTER_`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from services.router.api.auth import AuthSettings
from shared.quotas import QuotaSettings
from shared.settings import Settings


class EngineSettings(Settings):
    """How the replicas of this process are called and kept."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_")

    name: str = Field(
        "", max_length=64, description="This process in logs and `/v1/replicas`; empty: role, host and process id."
    )
    snapshot_every: Annotated[int, Field(ge=100)] = Field(10_000, description="Entries between two snapshots.")
    max_open_contacts: Annotated[int, Field(ge=0)] = Field(
        150_000,
        description="Open contacts of one partition from which on its leader leaves customers' messages in the log, so "
        "that memory stays bounded: about 6 KB each; 0: no bound.",
    )
    metrics_by_agent: bool = Field(
        False, description="Whether `/metrics` names every agent's occupancy: two series for each of them."
    )


class RouterSettings(EngineSettings, QuotaSettings):
    """How tokens are checked, how long calls wait, and how many messages `POST /v1/messages` takes."""

    model_config = SettingsConfigDict(env_prefix="ROUTER_")

    jwt_secret: SecretStr = Field(min_length=32, description="Signs agents' tokens; at least 32 characters.")
    jwt_issuer: str = Field("switchdesk", description="`iss` of every token.")
    jwt_audience: str = Field("switchdesk", description="`aud` of every token.")
    token_ttl_s: Annotated[int, Field(ge=60, le=43_200)] = Field(
        3600, description="How long a token made here is valid."
    )
    wait_s: Annotated[float, Field(ge=0, le=25)] = Field(
        5.0, description="How long a changing call waits for its decision before it answers 202."
    )
    api_docs: bool = Field(False, description="Whether `/docs` shows the interface to read and try.")

    @property
    def auth(self) -> AuthSettings:
        """What the API checks callers by."""
        return AuthSettings(
            jwt_secret=self.jwt_secret.get_secret_value(),
            issuer=self.jwt_issuer,
            audience=self.jwt_audience,
            token_ttl_s=self.token_ttl_s,
        )

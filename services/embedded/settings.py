"""Settings of the embedded composition."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from shared.process import LoopSettings

Port = Annotated[int, Field(ge=0, le=65_535)]


class EmbeddedSettings(LoopSettings):
    """One process on one machine. A port of 0 takes a free one and prints it.

    The services' own settings are read as well, from their own variables; what follows from these here is filled in.
    """

    host: str = Field("127.0.0.1", description="Address to listen on, for all ports.")
    port: Port = Field(8080, description="API, pages, webhooks and chat.")
    admin_port: Port = Field(9091, description="Metrics and probes; keep it away from the public.")
    smtp_port: Port = Field(2525, description="Mail comes in here.")
    data_dir: Path = Field(Path(".data"), description="Where the log, secrets and demo.json lie; made if missing.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="How much is logged.")
    public_url: str | None = Field(
        None, pattern=r"^https?://[^\s/]+$", description="How others reach this, if not by host and port."
    )

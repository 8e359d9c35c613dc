"""`python -m services.ingest_chat`: the customers' chat as a process of its own. `… config` prints its settings."""

from __future__ import annotations

import sys

from services.ingest_chat.app import build_chat
from services.ingest_chat.settings import ChatSettings
from shared.ingest_process import run_web_ingest

if __name__ == "__main__":
    sys.exit(run_web_ingest("ingest_chat", ChatSettings, build_chat, sys.argv[1:]))

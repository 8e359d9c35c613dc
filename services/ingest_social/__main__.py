"""`python -m services.ingest_social`: Telegram and Messenger as their own process. `… config` prints its settings,
`… dead-letters list|replay` shows and reads again what could not be read."""

from __future__ import annotations

import sys

from services.ingest_social import dead_letters_command
from services.ingest_social.app import build_social
from services.ingest_social.settings import SocialSettings
from shared.ingest_process import run_web_ingest

if __name__ == "__main__":
    if sys.argv[1:2] == ["dead-letters"]:
        sys.exit(dead_letters_command.main(sys.argv[2:]))
    sys.exit(run_web_ingest("ingest_social", SocialSettings, build_social, sys.argv[1:]))

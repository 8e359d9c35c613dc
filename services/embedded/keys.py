"""What must be kept secret, made once and kept in `$DATA_DIR/secrets.json` (mode 0600)."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.router.api.auth import new_key
from shared.service import CannotStart

FILE = "secrets.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSecrets:
    """Every secret of an embedded installation. Stable over restarts: who has a key keeps it."""

    jwt_secret: str
    chat_secret: str
    mail_secret: str
    operator_key: str
    adapter_key: str
    telegram_secret: str
    messenger_secret: str
    messenger_verify_token: str
    tokens_issued_at: int


def load_or_make(data_dir: Path, workspace: str, *, now_s: int, token_life_s: int) -> DemoSecrets:
    """The installation's secrets. Tokens that have lived half their life are issued anew, everything else stays."""
    file = data_dir / FILE
    kept = _read(file)
    made = {
        "jwt_secret": secrets.token_urlsafe(48),
        "chat_secret": secrets.token_urlsafe(48),
        "mail_secret": secrets.token_urlsafe(48),
        "operator_key": new_key(workspace).token,
        "adapter_key": new_key(workspace).token,
        "telegram_secret": secrets.token_urlsafe(32),
        "messenger_secret": secrets.token_hex(16),
        "messenger_verify_token": secrets.token_urlsafe(16),
        "tokens_issued_at": now_s,
    }
    values = {**made, **{name: value for name, value in kept.items() if name in made}}
    if not now_s - token_life_s // 2 <= values["tokens_issued_at"] <= now_s:
        values["tokens_issued_at"] = now_s
    if values != kept:
        write_private(file, json.dumps(values, indent=2) + "\n")
    return DemoSecrets(**values)


def key_id_of(key: str) -> str:
    """The public part of a key."""
    return key.rsplit(".", 2)[1]


def write_private(file: Path, text: str) -> None:
    """Replace `file` in one step; nobody but its owner can read it, not even for a moment."""
    temporary = file.with_name(file.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o600)
        stream.write(text)
        stream.flush()
        os.fsync(descriptor)
    temporary.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        # Making new ones here would silently shut out everybody who has a key.
        raise CannotStart(f"{file} cannot be read ({type(error).__name__}); put it right or move it away") from None
    if not isinstance(content, dict):
        raise CannotStart(f"{file} does not hold secrets; put it right or move it away")
    return content

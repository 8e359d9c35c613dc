"""What a newcomer reads when everything is ready, and `demo.json`, which says the same to programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedded import demo
from services.embedded.keys import DemoSecrets, write_private

FILE = "demo.json"
SHOWN_DESKS = ("desk-jakarta-1", "desk-london-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where everything can be reached, with the ports that were really taken."""

    base_url: str
    admin_url: str
    smtp_host: str
    smtp_port: int


def demo_facts(
    addresses: Addresses, keys: DemoSecrets, *, supervisor_token: str, agents: Mapping[str, str]
) -> dict[str, Any]:
    """The content of `demo.json`."""
    return {
        "base_url": addresses.base_url,
        "admin_url": addresses.admin_url,
        "workspace": demo.WORKSPACE,
        "operator_key": keys.operator_key,
        "adapter_key": keys.adapter_key,
        "supervisor_token": supervisor_token,
        "agents": dict(agents),
        "webhook_secrets": {
            f"telegram:{demo.TELEGRAM_ACCOUNT}": keys.telegram_secret,
            f"messenger:{demo.MESSENGER_ACCOUNT}": keys.messenger_secret,
            f"messenger:{demo.MESSENGER_ACCOUNT}/verify_token": keys.messenger_verify_token,
        },
        "smtp": {"host": addresses.smtp_host, "port": addresses.smtp_port, "address": demo.MAIL_ADDRESS},
        "chat_account": demo.CHAT_ACCOUNT,
    }


def write_facts(data_dir: Path, facts: Mapping[str, Any]) -> Path:
    """Write `demo.json`, readable by its owner alone."""
    file = data_dir / FILE
    write_private(file, json.dumps(facts, indent=2) + "\n")
    return file


def telegram_curl(facts: Mapping[str, Any]) -> str:
    """A signed webhook as Telegram would send it; it works as printed, as often as it is pasted."""
    account = demo.TELEGRAM_ACCOUNT
    secret = facts["webhook_secrets"][f"telegram:{account}"]
    return f"""curl -sS {facts["base_url"]}/webhooks/telegram/{account} -d @- \\
  -H 'Content-Type: application/json' -H 'X-Telegram-Bot-Api-Secret-Token: {secret}' <<END
{{"update_id": $(date +%s), "message": {{"message_id": $(date +%s), "date": $(date +%s),
  "chat": {{"id": 4711, "type": "private"}}, "from": {{"id": 4711, "is_bot": false, "first_name": "Customer"}},
  "text": "Halo, saldo saya belum masuk sejak kemarin. Tolong dibantu."}}}}
END"""


def mail_curl(facts: Mapping[str, Any]) -> str:
    """A mail as any client would send it; it works as printed, as often as it is pasted."""
    smtp = facts["smtp"]
    return rf"""printf 'From: customer@example.net\r\nTo: {smtp["address"]}\r\nMessage-ID: <%s@example.net>\r\n'\
'Subject: Card blocked\r\n\r\nMy card was blocked this morning. What can I do?\r\n' "$(date +%s)" \
  | curl -sS smtp://{smtp["host"]}:{smtp["port"]} --mail-from customer@example.net --mail-rcpt {smtp["address"]} -T -"""


def banner(facts: Mapping[str, Any], demo_file: Path) -> str:
    """A screenful: where to click, who to be, what to paste."""
    base = facts["base_url"]
    speakers = "\n".join(f"  {agent.agent:<16} {' '.join(agent.languages)}" for agent in demo.AGENTS)
    desks = "\n\n".join(f"  {id}\n  {base}/desk/#token={facts['agents'][id]}" for id in SHOWN_DESKS)
    return f"""
Switchdesk is ready. Everything below, and a token for each agent, also lies in {demo_file}

  overview    {base}/
  customer    {base}/chat/?account={facts["chat_account"]}
  desk        {base}/desk/
  status      {base}/status/?workspace={facts["workspace"]}
  metrics     {facts["admin_url"]}/metrics
  mail        smtp://{facts["smtp"]["host"]}:{facts["smtp"]["port"]} to {facts["smtp"]["address"]}

Agents and their languages:

{speakers}

Open a desk and set yourself available, then write as a customer in that language:

{desks}

A Telegram message in Indonesian:

{telegram_curl(facts)}

A mail in English:

{mail_curl(facts)}

Stop with Ctrl-C. Data stays in {demo_file.parent}
"""

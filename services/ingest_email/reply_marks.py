"""How mail programs introduce what they quote, by language: the words that `trim` looks for."""

from __future__ import annotations

import re
from typing import Final


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.replace("\n", " ").split(";") if word.strip())


def _any_of(text: str) -> str:
    return "|".join(re.escape(word) for word in _words(text))


WROTE: Final = _words("""
    wrote; writes; schrieb; geschrieben; a écrit; a ecrit; écrit; escribió; escribio; escreveu; menulis; ha scritto;
    scrisse; schreef; skrev; napisał; napisał(a); pisze; написал; написал(а); пишет; написав; yazdı; yazdi; kirjoitti;
    đã viết; 写道; 寫道; 作成; 작성; ने लिखा; كتب; írta; a scris; napsal; napsal(a); έγραψε; เขียนว่า
""")
"""The last word of an introduction, before its colon."""

VERB_FIRST: Final = ("schrieb", "schreef", "skrev")
"""Where the writer's name follows: “Am 3.5. schrieb Jane:”."""

ON: Final = tuple(
    f"{word} "
    for word in _words("on; am; le; el; em; pada; tanggal; il; op; den; dnia; w dniu; în; tarihinde; vào; в; a")
) + _words("пн; вт; ср; чт; пт; сб; вс")
"""The first word of an introduction, before its date."""

_ORIGINAL: Final = _any_of("""
    original message; original appointment; forwarded message; reply message; ursprüngliche nachricht;
    originalnachricht; weitergeleitete nachricht; message d'origine; message d’origine; message original;
    message transféré; mensaje original; mensaje reenviado; mensagem original; mensagem encaminhada;
    pesan asli; pesan diteruskan; messaggio originale; messaggio inoltrato;
    oorspronkelijk bericht; doorgestuurd bericht; ursprungligt meddelande;
    oprindelig meddelelse; opprinnelig melding; wiadomość oryginalna; исходное сообщение; пересылаемое сообщение;
    orijinal mesaj; thư gốc; 原始邮件; 原始郵件; 转发邮件; 元のメッセージ; 원본 메시지
""")
DELIMITER: Final = re.compile(
    rf"^[\s>*]{{0,10}}[-_=]{{2,60}}\s{{0,3}}(?:{_ORIGINAL})\s{{0,3}}[-_=]{{0,60}}", re.IGNORECASE
)
"""`-----Original Message-----` and its relatives."""

_FORWARD: Final = _any_of("""
    begin forwarded message; anfang der weitergeleiteten nachricht; anfang der weitergeleiteten e-mail;
    début du message transféré; début du message réexpédié; inicio del mensaje reenviado;
    início da mensagem encaminhada; início da mensagem reenviada; inizio messaggio inoltrato
""")
FORWARD: Final = re.compile(rf"^(?:{_FORWARD}):?\s{{0,5}}$", re.IGNORECASE)

RULE: Final = re.compile(r"^_{20,}\s{0,5}$")
"""The line that Outlook draws above its header block."""

_COLON: Final = r"\s{0,3}\*?\s{0,3}[:：]"
_FROM: Final = _any_of("""
    from; von; de; dari; da; van; från; fra; od; от; від; kimden; lähettäjä; từ; 发件人; 寄件者; 寄件人; 差出人;
    보낸 사람
""")
FROM_HEADER: Final = re.compile(rf"^\s{{0,5}}\*?(?:{_FROM}){_COLON}\*?\s{{0,5}}\S", re.IGNORECASE)

_HEADERS: Final = _any_of("""
    sent; date; to; cc; subject; reply-to; gesendet; datum; an; betreff; envoyé; date d'envoi; date d’envoi; à; objet;
    enviado; enviado el; enviado em; fecha; para; asunto; data; assunto; dikirim; tanggal; kepada; ke; perihal; subjek;
    inviato; a; oggetto; verzonden; aan; onderwerp; skickat; till; ämne; sendt; til; emne; wysłano; do; temat;
    отправлено; дата; кому; тема; надіслано; gönderilen; gönderildi; tarih; kime; konu; đã gửi; ngày; đến; chủ đề;
    发送时间; 日期; 收件人; 主题; 寄件日期; 收件者; 主旨; 送信日時; 日時; 宛先; 件名; 보낸 날짜; 날짜; 받는 사람; 제목
""")
OTHER_HEADER: Final = re.compile(rf"^\s{{0,5}}\*?(?:{_HEADERS}){_COLON}", re.IGNORECASE)

SENT_FROM: Final = re.compile(
    r"^(?:sent from (?:my|mail|outlook|yahoo|proton|the)\b|get outlook for|von meinem .{1,40} gesendet|"
    r"gesendet (?:von|mit) |envoyé (?:de|depuis) (?:mon|ma|l['’]|outlook|mail)|"
    r"enviado (?:desde|do|de) (?:mi|meu|o|outlook|mail)|dikirim dari |inviato da(?:l mio)? |verzonden vanaf |"
    r"skickat från min |отправлено (?:с|из) |从我的.{1,20}发送|发自我的|iphoneから送信|"
    r"나의 .{1,20}에서 보냄|gửi từ )",
    re.IGNORECASE,
)
"""What telephones put under a mail."""

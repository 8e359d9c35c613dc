"""What is left of a mail when the mails below it are cut off."""

from __future__ import annotations

import pytest

from services.ingest_email.trim import trim_reply

QUOTE = "> Dear customer,\n> we are on it.\n"


@pytest.mark.parametrize(
    "introduction",
    [
        "On Mon, 5 Jan 2026 at 10:12, Support <support@acme.example> wrote:",
        "On Monday, 5 January 2026, a name that makes the line wrap\nSupport Team <support@acme.example>\nwrote:",
        "Am 05.01.2026 um 10:12 schrieb Support <support@acme.example>:",
        "Am Mo., 5. Jan. 2026 um 10:12 Uhr schrieb Support:",
        "Le lun. 5 janv. 2026 à 10:12, Support <support@acme.example> a écrit :",
        "El lun, 5 ene 2026 a las 10:12, Support (<support@acme.example>) escribió:",
        "Em seg., 5 de jan. de 2026 às 10:12, Support <support@acme.example> escreveu:",
        "Pada Sen, 5 Jan 2026 pukul 10.12 Support <support@acme.example> menulis:",
        "Il giorno lun 5 gen 2026 alle ore 10:12 Support <support@acme.example> ha scritto:",
        "Op ma 5 jan 2026 om 10:12 schreef Support <support@acme.example>:",
        "W dniu 5.01.2026 o 10:12 Support pisze:",
        "пн, 5 янв. 2026 г. в 10:12, Support <support@acme.example>:",
        "2026年1月5日 10:12，Support <support@acme.example> 写道：",
        "05/01/2026 10:12 tarihinde Support <support@acme.example> yazdı:",
        "Vào Th 2, 5 thg 1, 2026 lúc 10:12 Support <support@acme.example> đã viết:",
    ],
)
def test_introductions_of_many_languages(introduction: str) -> None:
    assert trim_reply(f"It works now.\n\nThanks!\n\n{introduction}\n{QUOTE}") == "It works now.\n\nThanks!"


@pytest.mark.parametrize(
    "block",
    [
        "-----Original Message-----\nFrom: Support\nSent: Monday",
        "________________________________\nFrom: Support <support@acme.example>\nSent: Monday\nTo: J\nSubject: O",
        "From: Support <support@acme.example>\nDate: Monday\nTo: Jane\nSubject: Order",
        "Von: Support <support@acme.example>\nGesendet: Montag\nAn: Jane\nBetreff: Bestellung",
        "De : Support <support@acme.example>\nEnvoyé : lundi\nÀ : Jane\nObjet : Commande",
        "De: Support\nEnviado el: lunes\nPara: Jane\nAsunto: Pedido",
        "Dari: Support\nDikirim: Senin\nKepada: Jane\nPerihal: Pesanan",
        "发件人: Support\n发送时间: 2026年1月5日\n收件人: Jane\n主题: 订单",
        "-------- Ursprüngliche Nachricht --------\nVon: Support",
        "-----Pesan Asli-----\nDari: Support",
        "-- \nJane Doe\nCEO of everything",
        "Sent from my iPhone",
        "Von meinem iPhone gesendet",
        "Envoyé de mon iPhone",
        "Dikirim dari iPhone saya",
    ],
)
def test_what_stands_below_is_cut(block: str) -> None:
    assert trim_reply(f"It works now.\n\n{block}\nold text\n") == "It works now."


def test_an_answer_between_quotes_is_kept() -> None:
    text = f"On 5 Jan 2026 Support <s@acme.example> wrote:\n{QUOTE}\nYes, that one.\n> Which card?\nThe blue one.\n"
    assert trim_reply(text) == "Yes, that one.\nThe blue one."


@pytest.mark.parametrize(
    "text",
    [
        "From: Monday I am away.\nPlease call before.",
        "On top of that I wrote:\nplease call me",
        "Hello\n- one\n- two\n--- three",
        "Am I charged twice?\nI wrote to you already.",
        "The error says:\nnot found",
        "To: be or not to be",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert trim_reply(text) == text


@pytest.mark.parametrize(
    "text", [QUOTE, "-----Original Message-----\nFrom: a", "-- \nJane", "On 1 Jan 2026 a@b.example wrote:\n> x"]
)
def test_nothing_is_never_the_answer(text: str) -> None:
    assert trim_reply(text) == text.strip()

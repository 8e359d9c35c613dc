"""The language of short texts: sentences, common words, and everything that is no text at all."""

from __future__ import annotations

import logging
import time

import pytest

from shared.language import CombinedDetector, LanguageDetector, clean, fold_language, language_detector

SENTENCES = [
    ("en", "My transfer has not arrived and it has been three days already"),
    ("en", "Could you please tell me how to change my delivery address?"),
    ("en", "I was charged twice for the same order"),
    ("id", "Saldo saya belum masuk padahal sudah transfer dari kemarin"),
    ("id", "Bagaimana cara mengubah nomor telepon di akun saya?"),
    ("id", "Tolong bantu, aplikasinya tidak bisa dibuka sejak pagi"),
    ("zh", "我的付款失败了，但是钱已经扣了"),
    ("zh", "请问怎么修改收货地址？"),
    ("hi", "मेरा पैसा अभी तक वापस नहीं आया है"),
    ("hi", "कृपया मुझे बताइए कि मेरा ऑर्डर कहाँ है"),
    ("es", "No puedo entrar en mi cuenta desde ayer por la noche"),
    ("es", "¿Cuándo me van a devolver el dinero del pedido cancelado?"),
    ("es", "Quisiera cambiar la dirección de entrega, por favor"),
    ("fr", "Je n'ai toujours pas reçu mon colis et personne ne répond"),
    ("fr", "Pouvez-vous annuler ma commande d'hier soir ?"),
    ("fr", "Mon paiement a été refusé sans explication"),
    ("de", "Meine Überweisung ist seit einer Woche nicht angekommen"),
    ("de", "Wie kann ich mein Passwort zurücksetzen?"),
    ("de", "Bitte stornieren Sie meine letzte Bestellung"),
    ("pt", "Meu cartão foi bloqueado e não consigo pagar a conta"),
    ("pt", "Vocês podem me dizer quando o pedido vai chegar?"),
    ("ru", "Почему мой платёж до сих пор не прошёл?"),
    ("ru", "Помогите, пожалуйста, восстановить доступ к кошельку"),
    ("ar", "لم يصل المبلغ إلى حسابي حتى الآن"),
    ("ar", "أريد إلغاء الطلب واسترجاع أموالي من فضلكم"),
    ("ja", "注文した商品がまだ届いていません"),
    ("ja", "パスワードを忘れてしまいました"),
    ("ko", "결제는 됐는데 주문 내역이 없어요"),
    ("ko", "환불은 언제 받을 수 있나요?"),
    ("th", "เงินยังไม่เข้าบัญชีของฉันเลย"),
    ("th", "ช่วยเปลี่ยนที่อยู่จัดส่งให้หน่อยได้ไหม"),
    ("vi", "Tôi đã chuyển tiền nhưng người nhận chưa nhận được"),
    ("vi", "Làm thế nào để đổi số điện thoại của tôi?"),
    ("tr", "Param hesabımdan çekildi ama sipariş görünmüyor"),
    ("tr", "Şifremi nasıl değiştirebilirim acaba?"),
    ("it", "Non riesco ad accedere al mio conto da stamattina"),
    ("nl", "Ik heb mijn bestelling nog steeds niet ontvangen"),
    ("pl", "Dlaczego moja płatność została odrzucona?"),
    ("uk", "Чому мій переказ досі не надійшов?"),
    ("sv", "Jag har inte fått tillbaka mina pengar ännu"),
    ("he", "הכסף עדיין לא הגיע לחשבון שלי"),
    ("el", "Δεν έχω λάβει ακόμα την παραγγελία μου"),
    ("fa", "پول من هنوز به حسابم برنگشته است، چرا؟"),
    ("bn", "আমার টাকা এখনও ফেরত আসেনি"),
]


@pytest.fixture(scope="module")
def detector() -> LanguageDetector:
    return language_detector()


@pytest.mark.parametrize(("language", "text"), SENTENCES)
def test_sentences_are_recognised(detector: LanguageDetector, language: str, text: str) -> None:
    best = detector.detect(text)[0]
    assert best.language == language
    assert 0.5 <= best.confidence <= 1.0


@pytest.mark.parametrize(
    ("word", "language"),
    [("hi", "en"), ("Hola!", "es"), ("thanks", "en"), ("merci", "fr"), ("Danke.", "de"), ("ciao", "it")],
)
def test_the_commonest_words_come_from_the_table(detector: LanguageDetector, word: str, language: str) -> None:
    assert detector.detect(word)[0].language == language


def test_words_of_many_languages_are_not_believed(detector: LanguageDetector) -> None:
    for word in ("ok", "no", "test"):
        assert all(candidate.confidence < 0.5 for candidate in detector.detect(word))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\t",
        "12345",
        "😀🎉",
        "#A-10293",
        "https://shop.example/o/1?x=y",
        "a@b.example",
        "@shop #help",
        "\ud800",
        "\x00",
    ],
)
def test_a_text_without_language_has_none(detector: LanguageDetector, text: str) -> None:
    assert detector.detect(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        "where is my \x00 order",
        "\ud800 where is my order \udfff",
        "where\u0085is\u009fmy order",
        "where is my order " * 70_000,
        "x" * 100_000,
        "\u0301" * 1000,
        "a\u0301" * 500,
        "\U0001f1ee\U0001f1e9 halo",
        "\U000e0001 tag",
        "ꙮ",
        "ⓗⓔⓛⓛⓞ",
    ],
)
def test_odd_input_is_survived(detector: LanguageDetector, text: str) -> None:
    candidates = detector.detect(text)
    assert len(candidates) <= 5
    assert sum(candidate.confidence for candidate in candidates) <= 1.001
    assert list(candidates) == sorted(candidates, key=lambda candidate: -candidate.confidence)


def test_controls_and_surrogates_do_not_hide_the_language(detector: LanguageDetector) -> None:
    assert detector.detect("\ud800 where is my \x00 order \udfff")[0].language == "en"


def test_cleaning_leaves_what_is_language() -> None:
    assert clean("see https://x.example/a @bob my\x00 order b@c.example #1 late") == "see my order late"


@pytest.mark.parametrize(
    ("code", "folded"),
    [
        ("nb", "no"),
        ("nn-NO", "no"),
        ("iw", "he"),
        ("in", "id"),
        ("fil-PH", "tl"),
        ("zh-Hant-TW", "zh"),
        ("pt-BR", "pt"),
    ],
)
def test_codes_are_folded(code: str, folded: str) -> None:
    assert fold_language(code) == folded


def test_without_libraries_the_scripts_still_speak(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "eldc", None)
    monkeypatch.setitem(__import__("sys").modules, "pycld2", None)
    with caplog.at_level(logging.WARNING):
        bare = language_detector()
    assert len(caplog.records) == 2
    assert bare.detect("เงินยังไม่เข้าบัญชี")[0].language == "th"
    assert bare.detect("Почему не прошёл платёж")[0].language == "ru"
    assert bare.detect("where is my order") == ()


def test_a_detector_that_names_another_script_is_not_believed() -> None:
    odd = CombinedDetector(lambda text: {"zh": 1.0}, lambda text: {"ar": 1.0})
    assert odd.detect("xxxxxxxxxxxxx") == ()


def test_it_is_quick(detector: LanguageDetector) -> None:
    texts = [text for _, text in SENTENCES]
    best = min(_seconds(detector, texts) for _ in range(5))
    assert best / len(texts) < 500e-6, "one short text takes about 30 us on an idle machine"


def _seconds(detector: LanguageDetector, texts: list[str]) -> float:
    began = time.process_time()
    for text in texts:
        detector.detect(text)
    return time.process_time() - began

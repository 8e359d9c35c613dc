"""A URL of a Kafka log says everything or is refused by name."""

from __future__ import annotations

import pytest

from shared.log.kafka.url import KafkaUrl


def test_everything_can_be_said() -> None:
    assert KafkaUrl.parse(
        "kafka://a:9092,b.example:19092,[::1]:1?prefix=eu.desk-1&partitions=12&replication=5&min_isr=3"
    ) == KafkaUrl(
        servers=(("a", 9092), ("b.example", 19092), ("::1", 1)),
        prefix="eu.desk-1",
        partitions=12,
        replication=5,
        min_isr=3,
    )


def test_what_is_not_said_is_safe() -> None:
    url = KafkaUrl.parse("kafka://a:9092")

    assert (url.prefix, url.partitions, url.replication, url.min_isr) == ("switchdesk", 6, 3, 2)
    assert url.topic("journal") == "switchdesk.journal"
    assert KafkaUrl.parse("kafka://[::1]:9092,b:1").bootstrap == ["[::1]:9092", "b:1"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///x", "kafka://"),
        ("kafka://", "servers .* ''"),
        ("kafka://a", "servers .* 'a'"),
        ("kafka://a:9092,", "servers .* ''"),
        ("kafka://a:0", "servers .* 'a:0'"),
        ("kafka://a:99999", "servers .* 'a:99999'"),
        ("kafka://a:90x", "servers .* 'a:90x'"),
        ("kafka://a:9092?prefix=", "prefix .* ''"),
        ("kafka://a:9092?prefix=a/b", "prefix .* 'a/b'"),
        ("kafka://a:9092?prefix=.x", "prefix"),
        ("kafka://a:9092?partitions=0", "partitions .* '0'"),
        ("kafka://a:9092?partitions=six", "partitions .* 'six'"),
        ("kafka://a:9092?partitions=²", "partitions"),
        ("kafka://a:9092?replication=1", "min_isr .* 2 .* replication=1"),
        ("kafka://a:9092?min_isr=4", "min_isr .* 4 .* replication=3"),
        ("kafka://a:9092?partition=3", "'partition' is not one of prefix, partitions, replication, min_isr"),
        ("kafka://a:9092?prefix=a&prefix=b", "'prefix' stands there twice"),
        ("kafka://a:9092?prefix", "query"),
    ],
)
def test_what_is_wrong_is_named(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        KafkaUrl.parse(url)

"""The log on Kafka: bytes in an order that a quorum keeps, nothing more. The rule of the journal does the rest.

`url.py` says where, `topics.py` with which settings, `cluster.py` who leads, `reader.py` and `producer.py` read and
write; the ports are in the modules of their names, and `log.py` puts them together.
"""

import logging

from shared.log.kafka.log import KafkaLog as KafkaLog

# During an outage the client says the same several times a second; what matters is said by our own lines.
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

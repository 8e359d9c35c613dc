"""Mail with customers. Consumes SMTP; produces `inbound`; sends agents' replies to a relay or into an outbox."""

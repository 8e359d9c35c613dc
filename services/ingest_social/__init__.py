"""Social channels. Consumes signed webhooks; produces `inbound`; serves `/webhooks/{provider}/{account}`."""

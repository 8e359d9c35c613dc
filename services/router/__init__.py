"""The router: reads inputs, decides, journals, publishes. Consumes `commands` and `inbound`; serves `/v1`."""

"""Chat with customers: WebSocket and HTTP fallback. Consumes frames; produces `inbound`; serves `/chat/{account}`."""

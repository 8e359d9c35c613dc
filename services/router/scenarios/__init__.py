"""Policy tests that operators write: small contact centres, a timeline, and what must be true when."""

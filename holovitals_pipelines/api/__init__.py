"""The HTTP API and the webhook receiver."""

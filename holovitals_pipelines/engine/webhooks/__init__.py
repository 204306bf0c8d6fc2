"""Webhooks: registered, received, read into jobs, tried again, looked at.

Law: an event is durable before its sender is told so, and nothing of it is taken as data.
"""

"""What vendors' webhooks look like: how deliveries are signed, and what they say has happened.

Law: bytes in, values out; nothing here keeps anything, and nothing is read before the bytes were verified.
"""

"""Backups of an installation: made while it works, and put back into an empty home or in place of one."""

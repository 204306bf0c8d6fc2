"""The operational store's migrations; every released revision stays as it is for ever."""

HEAD = "0009"
"""The revision this program works with. Revisions are numbered, so that "newer" can be told without their scripts."""

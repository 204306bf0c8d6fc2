"""The sync kernel: detect, merge, grade, resolve, decide.

Law: it is pure; clock, store and transport are its callers' business.
"""

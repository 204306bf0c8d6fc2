"""Patients of several connections that are one person: the index, what is proposed, and what people decide.

Law: matching changes no record and sends nothing: a person only groups records.
"""

"""MEDITECH: HL7 v2 in both directions."""

"""HL7 v2 messages: taken, kept, applied to what is known, and shown to the adapter that reads from there."""

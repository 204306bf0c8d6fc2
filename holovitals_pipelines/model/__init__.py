"""Plain data and enumerations shared by every room of the house; nothing here does input or output."""

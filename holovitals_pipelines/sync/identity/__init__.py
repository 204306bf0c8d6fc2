"""Which patient records are one person: pure parts, from a body to groups and to what people are to look at."""

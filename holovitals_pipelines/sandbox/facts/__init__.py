"""What vendors publish of themselves, as data: interactions, search parameters, error texts."""

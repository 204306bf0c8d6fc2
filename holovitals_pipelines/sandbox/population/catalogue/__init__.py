"""The clinical catalogue: real codes with the facts that make them fit together; nothing here draws or renders."""

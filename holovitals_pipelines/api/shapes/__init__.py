"""What the API's JSON looks like: camelCase names, described and with examples, as /openapi.json shows them."""

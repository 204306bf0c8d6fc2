"""Web pages for people: landing page, sync dashboard, patients, conflicts. They ask the HTTP API as anybody does."""

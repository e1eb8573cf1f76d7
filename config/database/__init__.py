"""Django's Postgres, behind poolers too: the ENGINE of the settings."""

"""The configuration file: read, merged with its drop-ins, validated; and what changes from one to the next."""

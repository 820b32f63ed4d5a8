"""The commands, one file each. Imported by cli.py only when called."""

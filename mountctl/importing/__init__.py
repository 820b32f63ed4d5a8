"""What other programs mount, as tables of our configuration: `mountctl import`.

Finding (fstab_lines, units, processes, command_lines) ends with a `Found`; the programs' tables of options (s3fs,
goofys, geesefs, rclone, mount_s3) make a `Draft` of it, and writing.py prints that. switch.py carries it out.
"""

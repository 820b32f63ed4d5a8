"""The control socket: HTTP/1.1 and JSON on a Unix socket, between the supervisor and the commands."""

"""Messages of CSI and of kubelet's plugin registration; the *_pb2 modules are made by packaging/protocols.py."""

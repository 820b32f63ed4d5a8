"""The CSI driver: what kubelet and its helpers ask over gRPC, translated for the supervisor. No FUSE, and no mounts."""

"""Makes the Python modules of mountctl/csi/proto/*.proto, with grpcio-tools: run as `python packaging/protocols.py`.

With `--check`, by `make check`, it writes nothing and fails if a module does not say what its .proto says. What is
compared is the meaning, not the text, which differs from one version of grpcio-tools to the next.
"""

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

ROOT: Final = Path(__file__).resolve().parents[1]
PROTO: Final = "mountctl/csi/proto"
# Where grpcio-tools keeps google/protobuf/*.proto.
WELL_KNOWN: Final = Path(protoc.__file__).parent / "_proto"


def main(arguments: list[str]) -> int:
    """Write the modules, or with --check look at them. Returns the exit code."""
    sources = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / PROTO).glob("*.proto"))
    if arguments == ["--check"]:
        sys.path.insert(0, str(ROOT))
        stale = [source for source in sources if compiled(source) != generated(source)]
        for source in stale:
            print(f"the modules of {source} are not current: python packaging/protocols.py", file=sys.stderr)
        return 1 if stale else 0
    _run(*(f"--{what}_out={ROOT}" for what in ("python", "pyi", "grpc_python")), *sources)
    return 0


def compiled(source: str) -> FileDescriptorProto:
    """What a .proto says."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as file:
        _run(f"--descriptor_set_out={file.name}", source)
        return _bare(FileDescriptorSet.FromString(Path(file.name).read_bytes()).file[0])


def generated(source: str) -> FileDescriptorProto:
    """What the module of a .proto says."""
    module = importlib.import_module(source.removesuffix(".proto").replace("/", ".") + "_pb2")
    return _bare(FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """Without the names that fields have in JSON, which modules leave out."""
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        messages += message.nested_type
        for field in message.field:
            field.ClearField("json_name")
    return file


def _run(*arguments: str) -> None:
    if protoc.main(["protoc", f"--proto_path={ROOT}", f"--proto_path={WELL_KNOWN}", *arguments]) != 0:
        raise SystemExit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

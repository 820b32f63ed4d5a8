"""The cases of tool_cases.py themselves: first what Debian always has, then what is installed for the purpose."""

from typing import Final

from tests.service.tool_cases import ANY, BIG, TREE, Case, tree

_NOT_PERMITTED: Final = "Operation not permitted"
_INVALID: Final = "Invalid argument"

READING: Final = [
    Case("ls -lR .", "read", says="one.txt"),
    Case("find . -type f -size +1c", "read", says="./old.txt"),
    Case("du -s .", "read", says="."),
    Case("df .", "read", says="s3://"),
    Case("grep -r content .", "read", says="./old.txt:old content"),
    Case("head -c 3 old.txt; tail -n 1 d/two.txt", "read", says="old2"),
    Case("sha256sum d/* > $SOURCE/sums; sha256sum -c $SOURCE/sums", "read", says="d/two.txt: OK"),
    Case("cp -a d $SOURCE/copy && diff -r d $SOURCE/copy", "read"),
    Case("tar -cf $SOURCE/new.tar d && tar -df $SOURCE/new.tar", "read"),
    Case("touch new", "read", exit=1, says="Read-only file system"),
]

COPYING: Final = [
    Case("cp -r $SOURCE/plain new", adds=tree("new/")),
    Case("cp -a $SOURCE/plain new", adds=tree("new/")),
    Case("cp -p $SOURCE/plain/a new", adds={"new": TREE["a"]}),
    Case("cp old.txt new", adds={"new": b"old content\n"}),
    Case("cp $SOURCE/plain/a old.txt", "overwrite", adds={"old.txt": TREE["a"]}),
    Case("cp $SOURCE/plain/a old.txt", exit=1, says=_NOT_PERMITTED, instead="`allow-overwrite`"),
    Case("cp -rL $SOURCE/links new", adds={"new/file": b"x", "new/link": b"x"}),
    Case(
        "cp -r $SOURCE/links new",
        exit=1,
        says="cannot create symbolic link 'new/link': Operation not permitted",
        adds={"new/file": b"x"},
        instead="`cp -rL $SOURCE/links new`",
    ),
    Case("cp --sparse=never $SOURCE/sparse new", adds={"new": b"head" + bytes(999_996)}),
    Case("cp $SOURCE/sparse new", exit=1, says=_INVALID, instead="`cp --sparse=never $SOURCE/sparse new`"),
    Case("install -m 644 $SOURCE/plain/a new", adds={"new": TREE["a"]}),
    Case(
        "install $SOURCE/plain/a new",
        exit=1,
        says="cannot change permissions of 'new': Operation not permitted",
        adds={"new": TREE["a"]},
        instead="`install -m 644 $SOURCE/plain/a new`, or `file-mode`",
    ),
    Case("mv $SOURCE/plain new", adds=tree("new/")),
    Case("mv old.txt new", "delete", adds={"new": b"old content\n"}, removes=["old.txt"]),
    Case("mv d new", "delete", adds={"new/one.txt": b"1\n", "new/two.txt": b"2\n"}, removes=["d/one.txt", "d/two.txt"]),
    Case("mv old.txt new", exit=1, says=_NOT_PERMITTED, instead="`allow-delete`"),
    Case("mkdir -p new/sub && rmdir new/sub new"),
    Case("rm -r d", "delete", removes=["d/one.txt", "d/two.txt"]),
    Case("find . -name '*.txt' -delete", "delete", removes=["old.txt", "d/one.txt", "d/two.txt"]),
    Case("rm old.txt", exit=1, says="cannot remove 'old.txt': Operation not permitted", instead="`allow-delete`"),
    Case("ln -s old.txt new", exit=1, says=_NOT_PERMITTED, instead="`cp old.txt new`"),
]

WRITING: Final = [
    Case("echo x > new && cat new", says="x", adds={"new": b"x\n"}),
    Case("echo x >> new", adds={"new": b"x\n"}),
    Case("echo x | tee new", says="x", adds={"new": b"x\n"}),
    Case(
        "(cat old.txt; echo x) > $SOURCE/new; cp $SOURCE/new old.txt",
        "overwrite",
        adds={"old.txt": b"old content\nx\n"},
    ),
    Case(
        "echo x >> old.txt",
        "all",
        exit=2,
        says=_NOT_PERMITTED,
        instead="`(cat old.txt; echo x) > $SOURCE/new; cp $SOURCE/new old.txt`",
    ),
    Case("echo x | tee -a old.txt", "all", exit=1, says=_NOT_PERMITTED, instead="the same"),
    Case("sed s/old/new/ old.txt > new", adds={"new": b"new content\n"}),
    Case(
        "sed s/old/new/ old.txt > $SOURCE/new; cp $SOURCE/new old.txt", "overwrite", adds={"old.txt": b"new content\n"}
    ),
    Case(
        "sed -i s/old/new/ old.txt",
        "all",
        exit=4,
        says="Invalid cross-device link",
        instead="`sed s/old/new/ old.txt > $SOURCE/new; cp $SOURCE/new old.txt`",
    ),
    Case("sort -r old.txt > new", adds={"new": b"old content\n"}),
    Case("sort -r -o old.txt old.txt", "all", exit=2, says=_NOT_PERMITTED, instead="`sort -r old.txt > new`"),
    Case("touch new", adds={"new": b""}),
    Case("touch -d 2020-01-01 d && stat -c %y d", says="2020-01-01"),
    Case(
        "touch old.txt", "all", exit=1, says="cannot touch 'old.txt': Operation not permitted", instead="copy it anew"
    ),
    Case("chmod 644 old.txt; chown 0:0 old.txt"),
    Case(
        "chmod 600 old.txt",
        "all",
        exit=1,
        says="changing permissions of 'old.txt': Operation not permitted",
        instead="`file-mode`, `dir-mode`",
    ),
    Case(
        "chown 1 old.txt",
        "all",
        exit=1,
        says="changing ownership of 'old.txt': Operation not permitted",
        instead="`uid`, `gid`",
    ),
    Case("head -c 5 /dev/zero > new", adds={"new": bytes(5)}),
    Case("truncate -s 5 new", exit=1, says=_INVALID, instead="`head -c 5 /dev/zero > new`"),
    Case(
        "truncate -s 5 old.txt",
        "all",
        exit=1,
        says="cannot open 'old.txt' for writing: Operation not permitted",
        instead="copy the part that is to stay",
    ),
    Case("fallocate -l 5 new", exit=1, says="Operation not supported", adds={"new": b""}, instead="leave it out"),
    Case("mkfifo new", exit=1, says=_INVALID, instead="make it elsewhere"),
    Case("dd if=$SOURCE/big of=new bs=1M status=none conv=fsync", adds={"new": BIG}),
    Case("dd if=$SOURCE/big of=new bs=1M status=none oflag=direct", adds={"new": BIG}),
    Case(
        "dd if=$SOURCE/big of=new bs=1M status=none oflag=sync",
        exit=1,
        says="failed to open 'new': Invalid argument",
        instead="`dd if=$SOURCE/big of=new bs=1M status=none conv=fsync`",
    ),
    Case("dd if=$SOURCE/big of=new bs=1M status=none seek=1", exit=1, says=_INVALID, instead="write all of it"),
    Case(
        "split -b 5000000 $SOURCE/big new-",
        adds={"new-aa": BIG[:5_000_000], "new-ab": BIG[5_000_000:]},
    ),
    Case("gzip -c $SOURCE/big > new.gz && zcat new.gz | cmp - $SOURCE/big", adds={"new.gz": ANY}),
    Case("gzip old.txt && gzip -d old.txt.gz && cat old.txt", "delete", says="old content"),
]

ARCHIVES: Final = [
    Case("tar -xf $SOURCE/plain.tar", adds=tree("plain/")),
    Case("tar -C $SOURCE -czf new.tgz plain && tar -C $SOURCE -dzf new.tgz", adds={"new.tgz": ANY}),
    Case("tar -C $SOURCE -cf new.tar plain && tar -C $SOURCE -df new.tar", adds={"new.tar": ANY}),
    Case(
        "tar -C $SOURCE -cf new.tar plain && tar -C $SOURCE -rf new.tar links",
        "all",
        exit=2,
        says="Cannot write: Bad file descriptor",
        adds={"new.tar": ANY},
        instead="pack all at once",
    ),
    Case("python3 -m tarfile -c new.tar d && python3 -m tarfile -l new.tar", says="d/one.txt", adds={"new.tar": ANY}),
    Case("python3 -m tarfile -e $SOURCE/plain.tar .", adds=tree("plain/")),
    Case("python3 -m zipfile -e $SOURCE/plain.zip .", adds=tree("plain/")),
    Case(
        "python3 -m zipfile -c /dev/stdout d | cat > new.zip && python3 -m zipfile -t new.zip",
        says="Done testing",
        adds={"new.zip": ANY},
    ),
    Case(
        "python3 -m zipfile -c new.zip d",
        "all",
        exit=1,
        says=_INVALID,
        instead="`python3 -m zipfile -c /dev/stdout d | cat > new.zip && python3 -m zipfile -t new.zip`",
    ),
]

_SHUTIL: Final = 'python3 -c "import shutil; shutil.'

PYTHON: Final = [
    Case(_SHUTIL + "copyfile('old.txt', 'new')\"", adds={"new": b"old content\n"}),
    Case(_SHUTIL + "copy('old.txt', 'new')\"", adds={"new": b"old content\n"}),
    Case(_SHUTIL + "copytree('$SOURCE/plain', 'new', copy_function=shutil.copyfile)\"", adds=tree("new/")),
    Case(
        _SHUTIL + "move('old.txt', 'new', copy_function=shutil.copyfile)\"",
        "delete",
        adds={"new": b"old content\n"},
        removes=["old.txt"],
    ),
    Case(_SHUTIL + "rmtree('d')\"", "delete", removes=["d/one.txt", "d/two.txt"]),
    Case(
        _SHUTIL + "copy2('old.txt', 'new')\"",
        exit=1,
        says=_NOT_PERMITTED,
        adds={"new": b"old content\n"},
        instead="`" + _SHUTIL + "copyfile('old.txt', 'new')\"`",
    ),
    Case(
        _SHUTIL + "copy('$SOURCE/modes/run', 'new')\"",
        exit=1,
        says=_NOT_PERMITTED,
        adds={"new": b"x"},
        instead="`" + _SHUTIL + "copyfile('old.txt', 'new')\"`",
    ),
    Case(
        _SHUTIL + "copytree('$SOURCE/plain', 'new')\"",
        exit=1,
        says=_NOT_PERMITTED,
        adds=tree("new/"),
        instead="`" + _SHUTIL + "copytree('$SOURCE/plain', 'new', copy_function=shutil.copyfile)\"`",
    ),
    Case(
        _SHUTIL + "move('old.txt', 'new')\"",
        "delete",
        exit=1,
        says=_NOT_PERMITTED,
        adds={"new": b"old content\n"},
        instead="`" + _SHUTIL + "move('old.txt', 'new', copy_function=shutil.copyfile)\"`",
    ),
]

GIT: Final = [
    Case(
        "cp -r $SOURCE/repository.git new && git --git-dir new fsck && git clone -q new $SOURCE/out",
        free="new/",
        tool="git",
        quiet=True,
    ),
    Case(
        "git -C $SOURCE/repository.git bundle create - --all > new && git clone -q new $SOURCE/out",
        adds={"new": ANY},
        tool="git",
        quiet=True,
    ),
    Case(
        "git -C $SOURCE/repository.git archive HEAD > new.tar && tar -tf new.tar",
        says="file",
        adds={"new.tar": ANY},
        tool="git",
    ),
    Case(
        "git clone -q --bare $SOURCE/repository.git new",
        "all",
        exit=1,
        says="Invalid cross-device link",
        tool="git",
        instead="`cp -r $SOURCE/repository.git new && git --git-dir new fsck && git clone -q new $SOURCE/out`",
    ),
    Case(
        "git init -q new",
        "all",
        exit=1,
        says="Invalid cross-device link",
        free="new/",
        tool="git",
        instead="a work tree on a disk",
    ),
]

_CHANGED: Final = "cp -r $SOURCE/plain new && echo changed > $SOURCE/plain/a && rsync -r --size-only"

RSYNC: Final = [
    Case("rsync -r --inplace --size-only $SOURCE/plain/ new/", adds=tree("new/"), tool="rsync"),
    Case(
        "rsync -r --inplace --size-only --chmod=F644,D755 $SOURCE/modes/ new/",
        adds={"new/run": b"x", "new/secret": b"x"},
        tool="rsync",
    ),
    Case(_CHANGED + " $SOURCE/plain/ new/", "delete", adds=tree("new/") | {"new/a": b"changed\n"}, tool="rsync"),
    Case(
        "rsync -r --delete --inplace --size-only $SOURCE/plain/ d/",
        "delete",
        adds=tree("d/"),
        removes=["d/one.txt", "d/two.txt"],
        tool="rsync",
    ),
    Case("rsync -a --size-only ./ $SOURCE/new/", "read", tool="rsync"),
    Case(
        "rsync -a $SOURCE/plain/ new/",
        "all",
        exit=23,
        says="failed to set times",
        adds=tree("new/"),
        tool="rsync",
        instead="`rsync -r --inplace --size-only $SOURCE/plain/ new/`",
    ),
    Case(
        "rsync -r --inplace --size-only $SOURCE/modes/ new/",
        exit=23,
        says="failed to set permissions",
        adds={"new/run": b"x", "new/secret": b"x"},
        tool="rsync",
        instead="`rsync -r --inplace --size-only --chmod=F644,D755 $SOURCE/modes/ new/`",
    ),
    Case(
        _CHANGED + " --inplace $SOURCE/plain/ new/",
        "all",
        exit=23,
        says=_NOT_PERMITTED,
        adds=tree("new/"),
        tool="rsync",
        instead=f"`{_CHANGED} $SOURCE/plain/ new/`",
    ),
    Case(
        "rsync -r $SOURCE/plain/ new/",
        exit=23,
        says=_NOT_PERMITTED,
        tool="rsync",
        free="new/",
        instead="`rsync -r --inplace --size-only $SOURCE/plain/ new/`",
    ),
]

OTHERS: Final = [
    Case(
        "zip -qr - d | cat > new.zip && python3 -m zipfile -t new.zip",
        says="Done testing",
        adds={"new.zip": ANY},
        tool="zip",
    ),
    Case("zip -q -b $SOURCE -r new.zip d", adds={"new.zip": ANY}, tool="zip"),
    Case("zip -qr new.zip d", "all", exit=11, says=_INVALID, tool="zip", instead="`zip -q -b $SOURCE -r new.zip d`"),
    Case("unzip -q -DD $SOURCE/plain.zip", adds=tree("plain/"), tool="unzip"),
    Case(
        "unzip -q $SOURCE/plain.zip",
        says="cannot set modif./access times",
        adds=tree("plain/"),
        tool="unzip",
        instead="`unzip -q -DD $SOURCE/plain.zip`",
    ),
    Case("less old.txt", "read", says="old content", tool="less"),
    Case("sleep 0.1 & tail -f --pid=$! old.txt", "read", says="old content", tool="tail"),
    Case("curl -s -o new file://$SOURCE/big", adds={"new": BIG}, tool="curl"),
    Case("xz -c $SOURCE/big > new && xz -dc new | cmp - $SOURCE/big", adds={"new": ANY}, tool="xz"),
    Case("pv -q $SOURCE/big > new", adds={"new": BIG}, tool="pv"),
    Case(
        "printf -- '--- old.txt\\n+++ old.txt\\n@@ -1 +1 @@\\n-old content\\n+new\\n' | patch old.txt",
        "delete",
        says="patching file old.txt",
        adds={"old.txt": b"new\n"},
        tool="patch",
    ),
    Case("vim -u NONE -n -es -c 'normal ix' -c wq new", adds={"new": b"x\n"}, tool="vim"),
    Case(
        "vim -u NONE -n -es -c 'set backupcopy=no backupskip=' -c s/old/new/ -c wq! old.txt",
        "delete",
        adds={"old.txt": b"new content\n"},
        tool="vim",
    ),
    Case(
        "vim -u NONE -n -es -c s/old/new/ -c wq old.txt",
        "all",
        exit=1,
        tool="vim",
        instead="`vim -u NONE -n -es -c 'set backupcopy=no backupskip=' -c s/old/new/ -c wq! old.txt`",
    ),
    Case(
        "inotifywait -e create . 2>&1 | (read -r one; read -r two; touch new; cat)",
        says="CREATE new",
        adds={"new": b""},
        tool="inotifywait",
    ),
    Case(
        "cp $SOURCE/database new && sqlite3 -readonly new 'select a from t'",
        says="42",
        adds={"new": "database"},
        tool="sqlite3",
    ),
    Case("sqlite3 $SOURCE/made 'create table t (a)' && cp $SOURCE/made new", adds={"new": ANY}, tool="sqlite3"),
    Case(
        "sqlite3 new 'create table t (a)'",
        "all",
        exit=1,  # it reads what it has just made: EBADF
        says="disk I/O error",
        adds={"new": b""},
        tool="sqlite3",
        instead="`sqlite3 $SOURCE/made 'create table t (a)' && cp $SOURCE/made new`",
    ),
    Case(
        "cp $SOURCE/database new && sqlite3 new 'insert into t values (1)'",
        "all",
        exit=10,
        says="disk I/O error",
        adds={"new": "database", "new-journal": ANY},
        tool="sqlite3",
        instead="change a copy on a disk",
    ),
]

FIO_BYTES: Final = 20 * 1024 * 1024
_FIO: Final = "fio --minimal --name=job --ioengine=sync --bs=1M --size=20M --filename=new"

FIO: Final = [
    Case(f"{_FIO} --rw=write --fallocate=none --create_on_open=1", adds={"new": FIO_BYTES}, tool="fio", quiet=True),
    Case(
        f"{_FIO} --rw=write --fallocate=none --create_on_open=1 --end_fsync=1",
        adds={"new": FIO_BYTES},
        tool="fio",
        quiet=True,
    ),
    Case(f"head -c 20M /dev/zero > new && {_FIO} --rw=read", adds={"new": FIO_BYTES}, tool="fio", quiet=True),
    Case(
        f"head -c 20M /dev/zero > new && {_FIO} --rw=randread --direct=1",
        adds={"new": FIO_BYTES},
        tool="fio",
        quiet=True,
    ),
    Case(
        f"{_FIO} --rw=write --fallocate=none",
        "all",
        exit=1,
        says="Bad file descriptor",
        adds={"new": b""},
        tool="fio",
        instead=f"`{_FIO} --rw=write --fallocate=none --create_on_open=1`",
    ),
    Case(
        f"{_FIO} --rw=randwrite --fallocate=none --create_on_open=1",
        "all",
        exit=1,
        says=_INVALID,
        tool="fio",
        instead="S3 has no random writes",
    ),
]

CHAPTERS: Final[dict[str, list[Case]]] = {
    "Reading": READING,
    "Copying, moving, deleting": COPYING,
    "Writing": WRITING,
    "Archives": ARCHIVES,
    "Python": PYTHON,
    "git": GIT,
    "rsync": RSYNC,
    "fio": FIO,
    "Others": OTHERS,
}
CASES: Final[list[Case]] = [case for cases in CHAPTERS.values() for case in cases]

"""The options of s3fs (1.97) and what becomes of them. Read by translate.py."""

import re
from typing import Final
from urllib.parse import urlsplit

from mountctl.importing.draft import (
    Draft,
    Refused,
    Rule,
    Rules,
    apply_all,
    attempts,
    endpoint,
    is_on,
    none,
    same,
    switch,
    ttl,
    unneeded,
    value_of,
)
from mountctl.importing.found import Given
from mountctl.importing.keys import KeySource, of_environment
from mountctl.importing.mount_words import with_words
from mountctl.importing.quantities import mebibytes, octal, seconds
from mountctl.importing.refusals import ACL, CUSTOMER_KEYS, DISK_CACHE, OTHER_CERTIFICATES, XATTR

_PASSWD: Final = "/etc/passwd-s3fs"  # noqa: S105 - a path
_FALSE: Final = ("0", "false", "no")

# They tune how s3fs talks to S3, buffers on a disk or copies in S3: that is done in another way here.
_UNNEEDED: Final = (
    *("tmpdir", "check_cache_dir_exist", "del_cache", "ensure_diskfree", "free_space_ratio", "fake_diskfree"),
    *("connect_timeout", "readwrite_timeout", "list_object_max_keys", "max_stat_cache_size", "stat_cache_size"),
    *("enable_noobj_cache", "nodnscache", "nosscache", "multireq_max", "parallel_count", "parallel_upload", "sigv4"),
    *("multipart_copy_size", "max_dirty_data", "multipart_threshold", "singlepart_copy_limit", "fd_page_size"),
    *("streamupload", "max_thread_count", "enable_content_md5", "enable_unsigned_payload", "imdsv1only", "noxmlns"),
    *(
        "nomixupload",
        "nocopyapi",
        "norenameapi",
        "listobjectsv2",
        "instance_name",
        "complement_stat",
        "no_time_stamp_msg",
    ),
    *(
        "notsup_compat_dir",
        "use_session_token",
        "set_check_cache_sigusr1",
        "update_parent_dir_stat",
        "retry",
        "readdir_optimize",
    ),
    *("readdir_check_size", "foreground", "f", "s", "use_default_acl", "bucket"),
)


def _url(draft: Draft, given: Given) -> None:
    endpoint(draft, given, value_of(given))


def _encryption(draft: Draft, given: Given) -> None:
    kind, _, key = (given.value or "1").partition(":")
    if kind in ("1", ""):
        draft.keys["sse"] = "AES256"
    elif kind in ("k", "kmsid"):
        key = key or draft.found.environment.get("AWSSSEKMSID", "")
        draft.keys["sse"] = "aws:kms"
        if key.startswith("arn:"):
            draft.keys["sse-kms-key-id"] = key
        elif key:
            draft.no_equal(given, "a key is named by its whole ARN here. Set sse-kms-key-id to that key's ARN.")
    else:
        draft.no_equal(given, CUSTOMER_KEYS)


def _public(draft: Draft, given: Given) -> None:
    if is_on(given):
        draft.keys["no-sign-request"] = True


def _storage_class(text: str) -> str:
    return text.upper()


def _reduced_redundancy(draft: Draft, given: Given) -> None:
    if is_on(given):
        draft.keys["storage-class"] = "REDUCED_REDUNDANCY"


def _role(draft: Draft, given: Given) -> None:
    draft.nothing_needed(given)  # the instance's or task's role is the last link of the chain


def _top_umask(draft: Draft, given: Given) -> None:
    mask = octal(value_of(given))
    draft.keys.setdefault("dir-mode", f"{0o777 & ~mask:04o}")
    if mask:
        draft.note(given, "it was of the topmost directory alone; here dir-mode is of all of them.")


def _passwd(draft: Draft, given: Given) -> None:
    path = value_of(given)
    bucket = draft.keys.get("bucket", "")
    draft.key_source = KeySource(f"{path} (passwd_file)", path=path, bucket=bucket)


def _proxy(draft: Draft, given: Given) -> None:
    text = value_of(given)
    url = urlsplit(text if "://" in text else f"http://{text}")
    if url.scheme != "http" or "@" in url.netloc:
        draft.no_equal(given, "proxies are http://HOST:PORT here, without a user. Set HTTPS_PROXY for the supervisor.")
        return
    port = url.port or 1080  # s3fs's own default
    told = f"http://{url.hostname}:{port}"
    draft.environment |= {"HTTPS_PROXY": told, "HTTP_PROXY": told}


def _log_file(draft: Draft, given: Given) -> None:
    directory, _, name = value_of(given).rpartition("/")
    draft.keys["log-directory"] = directory or "/"
    draft.note(given, f"the file is mountctl-NAME.log in that directory, not {name}.")


def _level(draft: Draft, given: Given) -> None:
    if value_of(given) in ("info", "inf", "debug", "dbg"):
        draft.keys["debug"] = True
    else:
        draft.nothing_needed(given)


def _path(draft: Draft, given: Given) -> None:
    if given.value not in (None, "/"):
        draft.no_equal(given, "an endpoint-url has no path. Ask the server's admin for one without.")


RULES: Final[Rules] = {
    **{name: unneeded() for name in _UNNEEDED},
    "url": Rule(_url),
    "host": Rule(_url),
    "servicepath": Rule(_path),
    "endpoint": same("region"),
    "region": same("region"),
    "use_path_request_style": switch("force-path-style"),
    "profile": same("profile"),
    "passwd_file": Rule(_passwd),
    "iam_role": Rule(_role),
    "ecs": Rule(_role, takes=False),
    "public_bucket": Rule(_public),
    "requester_pays": switch("requester-pays"),
    "storage_class": same("storage-class", _storage_class),
    "use_rrs": Rule(_reduced_redundancy),
    "use_sse": Rule(_encryption),
    "stat_cache_expire": ttl("metadata-ttl", seconds),
    "stat_cache_interval_expire": ttl("metadata-ttl", seconds),
    "disable_noobj_cache": Rule(
        lambda draft, _: draft.keys.__setitem__("negative-metadata-ttl", "minimal"), takes=False
    ),
    "multipart_size": same("write-part-size", mebibytes),
    "retries": attempts(1),
    "mp_umask": Rule(_top_umask),
    "proxy": Rule(_proxy),
    "logfile": Rule(_log_file),
    "dbglevel": Rule(_level),
    "curldbg": switch("debug"),
    "d": switch("debug"),
    "use_cache": none(DISK_CACHE, unless=("", *_FALSE)),
    "no_check_certificate": none(OTHER_CERTIFICATES, takes=False),
    "ssl_verify_hostname": none(OTHER_CERTIFICATES, unless=("1", "2")),
    "ssl_client_cert": none("client certificates are not supported. Have the server take keys."),
    "cipher_suites": none("the system's OpenSSL chooses. Set its policy in /etc/ssl/openssl.cnf."),
    "use_xattr": none(XATTR, unless=_FALSE),
    "default_acl": none(ACL, unless=("private",)),
    "ahbe_conf": none(
        "added headers by a file's name; none are added here. Set them where the objects are served from."
    ),
    "load_sse_c": none(
        "read objects encrypted with keys of your own (SSE-C), which is not supported. Copy such objects."
    ),
    "sigv2": none(
        "signed requests by version 2; here by version 4. Find out whether the server takes that: most do.", takes=False
    ),
    "nomultipart": none(
        "large files were sent in one request; here in parts. Nothing to do where the server knows parts.", takes=False
    ),
    "ibm_iam_auth": none(
        "tokens of IBM's are not supported. Make HMAC keys for the service, and a profile of them.", takes=False
    ),
    "ibm_iam_endpoint": none(
        "tokens of IBM's are not supported. Make HMAC keys for the service, and a profile of them."
    ),
    "credlib": none("a library gave the keys. Use a profile with credential_process."),
    "credlib_opts": none("a library gave the keys. Use a profile with credential_process."),
    "proxy_cred_file": none("no option takes a secret. Set HTTPS_PROXY with its user in the supervisor's environment."),
    "bucket_size": none("df shows no size of a bucket here, as it has none. Nothing to do."),
    "noua": none("a user agent is always sent. Nothing to do."),
    "compat_dir": none(
        "directories of old programs, NAME_$folder$, are shown as files here. Nothing to do where there are none.",
        takes=False,
    ),
    "use_wtf8": none(
        "names that are no UTF-8 were stored in another coding, which is shown here as it is stored. Rename them.",
        takes=False,
    ),
    "ipresolve": none("addresses of both kinds are tried. Nothing to do.", unless=("whatever",)),
    "mime": none(
        "content types are the system's table's (/etc/mime.types). Add to it what lacks.", unless=("/etc/mime.types",)
    ),
    "symlinks": unneeded(),
}


def translate(draft: Draft) -> None:
    """Fill the draft. Raises Refused."""
    bucket, _, prefix = draft.found.source.partition(":")
    if not bucket or "/" in bucket:
        raise Refused(f"{draft.found.source} is not s3fs's BUCKET or BUCKET:/PATH")
    draft.keys["bucket"] = bucket
    if prefix.strip("/"):
        draft.keys["prefix"] = re.sub("/+", "/", prefix).strip("/") + "/"
    names = {each.name for each in draft.found.options}
    apply_all(draft, with_words(draft, RULES), "s3fs")
    if draft.umask is not None:  # s3fs gives both of them all that it leaves
        draft.keys["dir-mode"] = draft.keys["file-mode"] = f"{0o777 & ~draft.umask:04o}"
        draft.umask = None
    if not draft.keys.get("read-only"):
        draft.keys |= {"allow-delete": True, "allow-overwrite": True, "infer-content-type": True}
    if not {"profile", "iam_role", "ecs", "public_bucket", "passwd_file"} & names:
        draft.key_source = of_environment(draft.found.environment, f"the environment of {draft.found.origin}")
        if draft.key_source is None:
            _usual_file(draft, bucket)


def _usual_file(draft: Draft, bucket: str) -> None:
    """Without another word s3fs reads the user's file, then the host's."""
    home = draft.found.user.home if draft.found.user is not None and draft.found.user.home else "/root"
    for path in (f"{home}/.passwd-s3fs", _PASSWD):
        if draft.has_file(path):
            draft.key_source = KeySource(f"{path} (where s3fs looks for keys)", path=path, bucket=bucket)
            return

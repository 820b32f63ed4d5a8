"""The options of `rclone mount` (1.75) and of its S3 remotes. Read by translate.py."""

import re
from typing import Final

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
    owner,
    same,
    switch,
    ttl,
    unneeded,
    value_of,
)
from mountctl.importing.found import Given
from mountctl.importing.keys import Keys, KeySource, of_environment
from mountctl.importing.mount_words import WORDS, with_words
from mountctl.importing.quantities import octal, seconds, size
from mountctl.importing.rclone_remotes import Remote, resolve
from mountctl.importing.rclone_words import FILTERS, SWITCHES, UNNEEDED_SWITCHES, UNNEEDED_VALUES
from mountctl.importing.refusals import ACL, CUSTOMER_KEYS, DISK_CACHE, OTHER_CERTIFICATES

_DIRECTORY, _FILE, _UMASK = 0o777, 0o666, 0o022  # rclone's --dir-perms, --file-perms and --umask, unless told
# Their buckets are in the host's name, whatever force_path_style's default says.
_VIRTUAL_HOSTS: Final = frozenset({"aws", "alibaba", "tencentcos", "huaweiobs", "netease", "volcengine"})
_IN_ORDER: Final = (
    "Here they are written from their start to their end. Nothing to do for programs that do so (docs/guides/tools.md)."
)
_CACHE_MODES: Final = {
    "minimal": f"files opened for reading and writing at once were kept on a disk. {_IN_ORDER}",
    "writes": f"files were written to a disk first, so programs could write anywhere. {_IN_ORDER}",
    "full": f"what was read and written was on a disk, so programs could write anywhere. {_IN_ORDER}",
}
_LIMITED: Final = "rates are not limited here. Limit them in the network, or at the server."
_FILTERED: Final = "all files are shown here. Use a prefix, or mounts of several prefixes."
_REMOTE_CONTROL: Final = (
    "rclone's remote control has no equal. `mountctl status --json` has counters, and `mountctl` the rest."
)


def _cache_mode(draft: Draft, given: Given) -> None:
    mode = value_of(given).lower()
    if mode == "off" or (draft.keys.get("read-only") and mode != "full"):
        draft.nothing_needed(given)
    elif mode == "full" and draft.keys.get("read-only"):
        draft.no_equal(given, DISK_CACHE)
    else:
        draft.no_equal(given, _CACHE_MODES.get(mode, "its value is not understood."))


def _log_file(draft: Draft, given: Given) -> None:
    directory, _, name = value_of(given).rpartition("/")
    draft.keys["log-directory"] = directory or "/"
    draft.note(given, f"the file is mountctl-NAME.log in that directory, not {name}.")


def _level(draft: Draft, given: Given) -> None:
    if value_of(given).upper() == "DEBUG":
        draft.keys["debug"] = True
    else:
        draft.nothing_needed(given)


def _umask(draft: Draft, given: Given) -> None:
    draft.umask = octal(value_of(given))


def _agent(draft: Draft, given: Given) -> None:
    draft.keys["user-agent-prefix"] = value_of(given)
    draft.note(given, "it is in front of the user agent here, not all of it.")


def _mode(key: str) -> Rule:
    return Rule(lambda draft, given: draft.keys.__setitem__(key, octal(value_of(given))))


RULES: Final[Rules] = {
    **{name: unneeded() for name in UNNEEDED_VALUES},
    **{name: unneeded(takes=False) for name in UNNEEDED_SWITCHES},
    **{name: none(_FILTERED) for name in FILTERS},
    "read-only": switch("read-only"),
    "allow-other": switch("allow-other"),
    "allow-root": switch("allow-root"),
    "uid": owner("uid"),
    "gid": owner("gid"),
    "umask": Rule(_umask),
    "dir-perms": _mode("dir-mode"),
    "file-perms": _mode("file-mode"),
    "dir-cache-time": ttl("metadata-ttl", seconds),
    "vfs-cache-mode": Rule(_cache_mode),
    "low-level-retries": attempts(0),
    "ca-cert": same("ca-bundle"),
    "user-agent": Rule(_agent),
    "log-file": Rule(_log_file),
    "log-level": Rule(_level),
    "vv": switch("debug"),
    "debug-fuse": switch("debug"),
    "bwlimit": none(_LIMITED),
    "bwlimit-file": none(_LIMITED),
    "tpslimit": none(_LIMITED),
    "no-check-certificate": none(OTHER_CERTIFICATES, takes=False),
    "client-cert": none("client certificates are not supported. Have the server take keys."),
    "client-key": none("client certificates are not supported. Have the server take keys."),
    "bind": none("an interface is named here, not an address. Set bind to the interface's name."),
    "direct-io": WORDS["direct_io"],
    "rc": none(_REMOTE_CONTROL, takes=False),
    "rc-addr": none(_REMOTE_CONTROL),
    "rc-user": none(_REMOTE_CONTROL),
    "rc-pass": none(_REMOTE_CONTROL),
    "rc-no-auth": none(_REMOTE_CONTROL, takes=False),
    "metrics-addr": none(_REMOTE_CONTROL),
    "links": none("symbolic links can't be stored here. Use copies.", takes=False),
    "vfs-links": none("symbolic links can't be stored here. Use copies.", takes=False),
    "vfs-case-insensitive": none("names are what they are in S3. Write them as they are.", takes=False),
    "vfs-disk-space-total-size": none("df shows no size of a bucket here, as it has none. Nothing to do."),
    "vfs-used-is-size": none("df shows no size of a bucket here, as it has none. Nothing to do.", takes=False),
}


def _remote_endpoint(draft: Draft, given: Given) -> None:
    endpoint(draft, given, value_of(given))


def _encryption(draft: Draft, given: Given) -> None:
    if given.value:
        draft.keys["sse"] = given.value


def _kms(draft: Draft, given: Given) -> None:
    if (given.value or "").startswith("arn:"):
        draft.keys["sse-kms-key-id"] = value_of(given)
    elif given.value:
        draft.no_equal(given, "a key is named by its whole ARN here. Set sse-kms-key-id to that key's ARN.")


def _part_size(draft: Draft, given: Given) -> None:
    draft.keys["write-part-size"] = size(value_of(given))


_VERSIONS: Final = "old versions of objects are not shown here. Use `aws s3api` for them."
_ROLE: Final = "make a profile with role_arn and source_profile in ~/.aws/config, and set profile to its name."
_UNNEEDED_SETTINGS: Final = (
    *("type", "provider", "env_auth", "access_key_id", "secret_access_key", "session_token", "force_path_style"),
    *("location_constraint", "bucket_acl", "upload_cutoff", "copy_cutoff", "upload_concurrency", "max_upload_parts"),
    *("v2_auth", "list_chunk", "list_version", "list_url_encode", "no_check_bucket", "no_head", "no_head_object"),
    *(
        "memory_pool_flush_time",
        "memory_pool_use_mmap",
        "disable_http2",
        "download_url",
        "directory_markers",
        "description",
    ),
    *("use_multipart_etag", "use_multipart_uploads", "use_presigned_request", "use_unsigned_payload", "use_x_id"),
    *("use_accept_encoding_gzip", "sign_accept_encoding", "might_gzip", "use_already_exists", "use_arn_region"),
    *(
        "use_data_integrity_protections",
        "disable_checksum",
        "leave_parts_on_error",
        "sdk_log_mode",
        "no_system_metadata",
    ),
    *("encoding", "sts_endpoint", "role_session_name", "role_session_duration", "role_external_id", "object_lock_mode"),
)
# Of a remote's section, and of --s3-... with a dash for each _.
SETTINGS: Final[Rules] = {
    **{name: unneeded() for name in _UNNEEDED_SETTINGS},
    "region": same("region"),
    "endpoint": Rule(_remote_endpoint),
    "profile": same("profile"),
    "shared_credentials_file": Rule(
        lambda draft, given: draft.environment.__setitem__("AWS_SHARED_CREDENTIALS_FILE", value_of(given))
    ),
    "acl": none(ACL, unless=("", "private")),
    "storage_class": same("storage-class"),
    "server_side_encryption": Rule(_encryption),
    "sse_kms_key_id": Rule(_kms),
    "sse_customer_algorithm": none(CUSTOMER_KEYS, unless=("",)),
    "sse_customer_key": none(CUSTOMER_KEYS, unless=("",)),
    "sse_customer_key_base64": none(CUSTOMER_KEYS, unless=("",)),
    "sse_customer_key_md5": none(CUSTOMER_KEYS, unless=("",)),
    "chunk_size": Rule(_part_size),
    "requester_pays": switch("requester-pays"),
    "use_accelerate_endpoint": switch("transfer-acceleration"),
    "use_dual_stack": switch("dual-stack"),
    "role_arn": none(_ROLE, unless=("",)),
    "versions": none(_VERSIONS, takes=False),
    "version_at": none(_VERSIONS, unless=("", "off")),
    "version_deleted": none(_VERSIONS, takes=False),
    "decompress": none("objects are shown as they are stored. Unpack them with gzip.", takes=False),
    "directory_bucket": none("directory buckets (S3 Express) are not supported yet.", takes=False),
}


def rules() -> Rules:
    """Of a command line: `--s3-NAME` is a remote's setting."""
    flags = {
        f"s3-{name.replace('_', '-')}": Rule(lambda _draft, _given: None, takes=name not in SWITCHES)
        for name in SETTINGS
    }
    return RULES | flags


def translate(draft: Draft) -> None:
    """Fill the draft. Raises Refused."""
    found = draft.found
    flags = {each.name: each for each in found.options if each.name.startswith("s3-")}
    own = {each.name.removeprefix("s3-").replace("-", "_"): each.value or "true" for each in flags.values()}
    remote = resolve(found.source, _configuration(draft), found.environment)
    bucket, _, prefix = remote.path.partition("/")
    if not bucket:
        raise Refused(f"{found.source} is all buckets of an account: name one, {found.source.rstrip(':')}:BUCKET")
    draft.keys["bucket"] = bucket
    if prefix.strip("/"):
        draft.keys["prefix"] = re.sub("/+", "/", prefix).strip("/") + "/"
    apply_all(draft, with_words(draft, rules()), "rclone")
    settings = {name.replace("-", "_"): value for name, value in remote.settings.items()} | own
    for name, value in settings.items():
        _setting(draft, remote, name, value)
    _addressing(draft, settings)
    _modes(draft)
    _keys(draft, remote, settings)
    if not draft.keys.get("read-only"):
        draft.keys |= {"allow-delete": True, "allow-overwrite": True, "infer-content-type": True}


def _setting(draft: Draft, remote: Remote, name: str, value: str) -> None:
    given = Given(name, value)
    rule = SETTINGS.get(name)
    if not value:
        return
    if rule is None:
        draft.no_equal(
            given, f"this setting of the remote {remote.name} is not known here. See what it does, and decide."
        )
        return
    try:
        if name not in _UNNEEDED_SETTINGS:
            rule.apply(draft, given)
    except ValueError:
        draft.no_equal(given, "its value is not understood. Set by hand what it means.")


def _configuration(draft: Draft) -> str:
    told = next((each.value for each in draft.found.options if each.name == "config" and each.value), None)
    home = draft.found.user.home if draft.found.user is not None and draft.found.user.home else "/root"
    return told or draft.found.environment.get("RCLONE_CONFIG") or f"{home}/.config/rclone/rclone.conf"


def _addressing(draft: Draft, settings: dict[str, str]) -> None:
    told = settings.get("force_path_style")
    virtual = settings.get("provider", "").lower() in _VIRTUAL_HOSTS
    if told is not None and not is_on(Given("force_path_style", told)):
        return
    if "endpoint-url" in draft.keys and not virtual and not draft.keys.get("transfer-acceleration"):
        draft.keys["force-path-style"] = True


def _modes(draft: Draft) -> None:
    mask = _UMASK if draft.umask is None else draft.umask
    directory, file = draft.keys.pop("dir-mode", _DIRECTORY), draft.keys.pop("file-mode", _FILE)
    draft.keys["dir-mode"], draft.keys["file-mode"] = f"{directory & ~mask:04o}", f"{file & ~mask:04o}"
    draft.umask = None


def _keys(draft: Draft, remote: Remote, settings: dict[str, str]) -> None:
    access, secret = settings.get("access_key_id"), settings.get("secret_access_key")
    from_environment = is_on(Given("env_auth", settings.get("env_auth", "false")))
    if access and secret:
        draft.key_source = KeySource(
            f"rclone's remote {remote.name}", given=Keys(access, secret, settings.get("session_token") or None)
        )
    elif from_environment and "profile" not in draft.keys:
        draft.key_source = of_environment(draft.found.environment, f"the environment of {draft.found.origin}")
    elif not from_environment:
        draft.keys.pop("profile", None)  # rclone asks for no keys then
        draft.keys["no-sign-request"] = True

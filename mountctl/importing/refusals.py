"""Sentences about options without an equal that several programs have: why there is none, and what to do."""

from typing import Final

DISK_CACHE: Final = (
    "kept what was read on a disk. Here the kernel keeps it in memory, and nothing is on a disk. "
    "Nothing to do, but where reading again after a reboot must cost nothing."
)
OTHER_CERTIFICATES: Final = (
    "took any certificate; here the server's is checked. Set ca-bundle to a file with the authority that signed it."
)
XATTR: Final = "extended attributes are not supported here, as nothing of S3 is one. Keep elsewhere what needs them."
ACL: Final = (
    "wrote objects with an ACL; ACLs are not sent here. Use a bucket policy, "
    "and object ownership `bucket owner enforced`."
)
CUSTOMER_KEYS: Final = (
    "encrypted with keys of your own (SSE-C), which are not supported: such objects can't be read here. Copy them."
)

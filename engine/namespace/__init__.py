"""Keys and inodes: names, the inode table, lookup and listing."""

#!/bin/sh
# The inside of tests/service/systemd_host.py: runs as PID 1 of new namespaces, makes a root of its own over $ROOT (an
# overlay: nothing there is changed), and becomes systemd, which boots to $TARGET. $1: where upper/, work/ and root/ are,
# the same ones at each boot; the rest: directories that are to be seen inside as they are.
set -eu
top=$1; shift
mount -t overlay overlay -o "lowerdir=$ROOT,upperdir=$top/upper,workdir=$top/work" "$top/root"
cd "$top/root"
mount -t proc proc proc
# systemd-sysctl must not change the host's settings: it leaves a read-only /proc/sys alone.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs sysfs sys
if [ -z "${HIERARCHIES:-}" ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else # of cgroup v1, beside which version 2 has no controllers
  mount -t tmpfs -o mode=755,nosuid,nodev,noexec tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/unified
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
  for hierarchy in $HIERARCHIES; do
    mkdir "sys/fs/cgroup/${hierarchy#name=}"
    case $hierarchy in name=*) options=none,$hierarchy ;; *) options=$hierarchy ;; esac
    mount -t cgroup -o "$options" cgroup "sys/fs/cgroup/${hierarchy#name=}"
  done
fi
mount -t tmpfs -o mode=755,nosuid tmpfs dev
for device in null zero full random urandom tty fuse; do
  : > "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs -o nosuid,nodev tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
for directory in "$@"; do
  mkdir -p ".$directory"
  mount --bind "$directory" ".$directory"
done
units=etc/systemd/system
printf '[Unit]\nDescription=tests\nRequires=basic.target\nAfter=basic.target\n' > $units/mountctl-tests.target
for unit in systemd-modules-load.service systemd-binfmt.service systemd-udevd.service systemd-timesyncd.service \
  systemd-logind.service systemd-networkd.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount dev-mqueue.mount; do
  ln -sf /dev/null "$units/$unit"
done
if [ ! -e "$top/booted" ]; then
  : > etc/fstab
  : > "$top/booted"
fi
mkdir .outside
mount --make-rprivate /
pivot_root . .outside
umount --lazy /.outside
rmdir /.outside
mount --make-rshared /
exec env -i container=mountctl-tests PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin TERM=dumb \
  /lib/systemd/systemd "--unit=$TARGET" --log-target=journal --show-status=no

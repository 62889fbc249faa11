# Called by dist.rs in mounts of its own: what is made here is gone with its last process.
# dist.sh plain|booted WORK COMMAND... : on Debian as SEGUE_DEBIAN has it, with SEGUE_DIST unpacked in /opt.
set -eu
kind=$1 work=$2
shift 2
root=$work/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$work"
mkdir "$work/upper" "$work/scratch" "$root"
mount -t overlay overlay -o "lowerdir=$SEGUE_DEBIAN,upperdir=$work/upper,workdir=$work/scratch" "$root"
tar -xf "$SEGUE_DIST" -C "$root/opt"
ln -s "$(basename "$(echo "$root"/opt/segue-*)")" "$root/opt/segue"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
if [ "$kind" = plain ]; then
  # Nothing can be written, but for one folder that is empty.
  mount -o remount,ro "$root"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin SEGUE_CACHE=/tmp/segue chroot --userspec=65534:65534 "$root" "$@"
fi
mount -t tmpfs tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd" 2>/dev/null ||
  { umount "$root/sys/fs/cgroup" && mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"; }
exec env -i container=segue-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /lib/systemd/systemd --unit=multi-user.target

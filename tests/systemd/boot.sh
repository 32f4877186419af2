# Boots systemd on a copy of a file system, in a mount and a process namespace of its own: boot.sh SCRATCH ROOT BIND...
# What is written goes to a tmpfs that the mount namespace takes with it.
set -eu
scratch=$1 system=$2
shift 2
for group in ${CGROUPS-}; do echo 0 >"$group/cgroup.procs"; done
mount -t tmpfs -o mode=755 tmpfs "$scratch"
cd "$scratch"
mkdir upper work root
mount -t overlay overlay -o lowerdir="$system",upperdir=upper,workdir=work root
# The machine is one on which bangeod was never installed, whatever may be on this one.
rm -rf root/opt/bangeod root/usr/local/bin/bangeod root/etc/bangeod root/var/lib/bangeod root/var/lib/bangui
rm -rf root/etc/systemd/system/*bangeod* root/etc/systemd/system/*/*bangeod* root/var/log/journal root/etc/*.d/bangeod.conf
sed -i -e /^bangeod:/d -e /^bangui:/d root/etc/passwd root/etc/shadow root/etc/group root/etc/gshadow
tr -d - </proc/sys/kernel/random/uuid >root/etc/machine-id
exec systemd-nspawn --directory=root --boot --register=no --keep-unit --private-network --link-journal=no \
    --console=pipe --machine=bangeod "$@" -- --unit=sockets.target

#!/usr/bin/env bash
# Builds the image of every component and checks that it serves as it will be deployed: as its own
# user (the image `all`: as a user of the host), on a read-only root file system. Prints how much the
# images have in common. Run as root, with the Debian packages buildah and debootstrap:
#
#   tests/deploy/images.sh [COMPONENT...]
#
# If the pinned base image cannot be pulled, a new Debian system with its Python is used instead.
set -euo pipefail
cd "$(dirname "$0")/../.."
components=("$@")
[ $# -gt 0 ] || components=(embedding quality face siamese orchestrator ui all)
version=$(sed -n "s/^ARG VERSION=//p" deploy/docker/Dockerfile)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export STORAGE_DRIVER=${STORAGE_DRIVER:-vfs} BUILDAH_ISOLATION=${BUILDAH_ISOLATION:-chroot}

base=$(sed -n 's/^ARG PYTHON_IMAGE=//p' deploy/docker/Dockerfile)
if ! buildah pull -q "$base" > /dev/null 2>&1; then
  base=localhost/python-stand-in:bookworm
  if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    echo "the base image cannot be pulled: using a new Debian system instead"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$work/root" > "$work/debootstrap.log"
    touch "$work/root/etc/hosts"
    # the host's authorities, because a proxy may have a private one
    cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' > "$work/root/etc/pip.conf"
    container=$(buildah from scratch)
    buildah add -q "$container" "$work/root" / > /dev/null
    buildah commit -q "$container" "$base" > /dev/null
    buildah rm "$container" > /dev/null
  fi
fi

# Runs a command in a mounted image as a user, with its environment; only /tmp and /data are writable.
exec_in() { # USER MOUNTED ENVIRONMENT COMMAND...
  local root=$2 environment=$3
  export user=$1
  shift 3
  exec unshare --mount --pid --fork --kill-child sh -c '
    root=$1; environment=$2; shift 2
    mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
    mount -t tmpfs tmpfs "$root/tmp" && mount -t tmpfs -o mode=1777 tmpfs "$root/data"
    mount --bind /etc/hosts "$root/etc/hosts"
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
    exec chroot --userspec=$user:$user "$root" env -i $environment "$@"
  ' run "$root" "$environment" "$@"
}

for component in "${components[@]}"; do
  image=localhost/bestshot-$component:$version
  buildah bud -q --layers --pull-never -f deploy/docker/Dockerfile -t "$image" \
    --build-arg PYTHON_IMAGE="$base" --build-arg ACCELERATOR=cpu \
    --build-arg COMPONENT="$component" . > "$work/build.log" 2>&1 || { cat "$work/build.log"; exit 1; }
  container=$(buildah from --pull-never "$image")
  root=$(buildah mount "$container")
  environment=$(buildah inspect --format '{{range .OCIv1.Config.Env}}{{.}} {{end}}' "$container")
  user=65532
  [ "$component" != all ] || user=1026
  exec_in "$user" "$root" "$environment" /bin/sh /usr/local/bin/bestshot-component > "$work/log" 2>&1 &
  part=$!
  for _ in $(seq 60); do
    sleep 1
    if (exec_in "$user" "$root" "$environment" /bin/sh /usr/local/bin/bestshot-component probe) 2> "$work/probe"; then
      size=$(du -sm "$root/opt/bestshot" | cut -f1)
      echo "$component serves; $size MiB on top of its base"
      served=yes
      break
    fi
    served=no
  done
  pkill -TERM --parent "$part" || true  # the component itself, which stops as it would in a container
  stopped=0
  wait "$part" || stopped=$?
  buildah rm "$container" > /dev/null
  [ "$component" != all ] || [ "$stopped" != 130 ] || stopped=0  # `up` was interrupted
  if [ "$served" = yes ] && [ "$stopped" != 0 ]; then
    echo "$component does not stop cleanly: exit code $stopped"
    exit 1
  fi
  if [ "$served" = no ]; then
    echo "$component does not serve:"
    cat "$work/log" "$work/probe"
    exit 1
  fi
done

# Layers of different images with one digest are downloaded and stored once.
for component in "${components[@]}"; do
  buildah inspect --type image --format '{{.Manifest}}' "localhost/bestshot-$component:$version" > "$work/$component.json"
done
python3 - "$work"/*.json << 'EOT'
import json, sys

layers = [one for path in sys.argv[1:] for one in json.load(open(path))["layers"]]
distinct = {one["digest"]: one["size"] for one in layers}
total = sum(one["size"] for one in layers)
print(f"{total >> 20} MiB with their base, of which {sum(distinct.values()) >> 20} MiB are distinct")
EOT

# Sourced. Root file systems for test images, from the Debian packages on this machine.

# account_files ROOT: /etc/passwd, /etc/group and what else every image has.
account_files() {
  mkdir -p "$1"/{etc,tmp,root,home,var,run,proc,sys,dev}
  chmod 1777 "$1/tmp"
  ln -sfn ../run "$1/var/run"
  printf '%s\n' root:x:0:0:root:/root:/bin/sh daemon:x:1:1:daemon:/usr/sbin:/bin/false \
    bin:x:2:2:bin:/bin:/bin/false www-data:x:33:33:www-data:/var/www:/bin/false \
    nobody:x:65534:65534:nobody:/home:/bin/false >"$1/etc/passwd"
  printf '%s\n' root:x:0: daemon:x:1: bin:x:2: tty:x:5: www-data:x:33: nogroup:x:65534: >"$1/etc/group"
}

# busybox_tree ROOT BINARY: every applet is a hard link in /bin, as busybox's own image has it, so
# that each path is a file of its own to a mount.
busybox_tree() {
  account_files "$1"
  mkdir -p "$1/bin"
  install -m 755 "$2" "$1/bin/busybox"
  local applet
  for applet in $("$2" --list); do
    [[ $applet == busybox ]] || ln -f "$1/bin/busybox" "$1/bin/$applet"
  done
}

# copy_program ROOT PROGRAM: a program of this machine with the libraries that it loads.
copy_program() {
  local file
  for file in "$2" $(ldd "$2" | grep -o '/[^ ]*'); do
    mkdir -p "$1$(dirname "$file")"
    cp -L --preserve=mode "$file" "$1$file"
  done
}

# nginx_tree ROOT PORT: Debian's nginx, serving one page on PORT, logging to stdout and stderr. It
# is a layer for on top of busybox_tree's.
nginx_tree() {
  copy_program "$1" /usr/sbin/nginx
  mkdir -p "$1"/{etc/nginx,var/lib/nginx,var/log/nginx,usr/share/nginx/html,run}
  echo "<h1>Welcome to nginx in crisp</h1>" >"$1/usr/share/nginx/html/index.html"
  cp /etc/nginx/mime.types "$1/etc/nginx/"
  cat >"$1/etc/nginx/nginx.conf" <<CONF
user www-data;
worker_processes 1;
pid /run/nginx.pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  include mime.types;
  access_log /dev/stdout;
  server {
    listen $2;
    root /usr/share/nginx/html;
  }
}
CONF
}

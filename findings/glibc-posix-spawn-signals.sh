#!/bin/sh
# A program that is started with posix_spawn does not begin with the signal dispositions of who started it.
#
# Software:  GNU C Library 2.36-9+deb12u14 (Debian 12, package libc6), used through its own loader
# Guess:     a parent that ignores no signal starts a program that ignores none, by posix_spawn as by fork and exec
# Seen:      by fork and exec SigIgn is 0; by posix_spawn it is 0000000180000000: signals 32 and 33, which the library
#            keeps for itself, are ignored in the program, whatever that program is and whichever library it has
# Matters to: launchers that promise default dispositions, and tests that look at SigIgn in /proc/PID/status
set -eu
version=2.36-9+deb12u14
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
apt-get -qq download "libc6=$version" 2> /dev/null
dpkg-deb -x libc6_*.deb libc
cat > start.c <<'C'
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;

int main(int count, char **words)
{
    char *show[] = {"grep", "^SigIgn", "/proc/self/status", 0};
    pid_t child = 0;
    int status = 1;

    (void)words;
    if (count > 1) {
        if (posix_spawn(&child, "/bin/grep", 0, 0, show, environ) != 0)
            return 2;
    } else if ((child = fork()) == 0) {
        execv("/bin/grep", show);
        _exit(2);
    }
    waitpid(child, &status, 0);
    return status != 0;
}
C
gcc -O1 -o start start.c
folder=$work/libc/lib/x86_64-linux-gnu
run() { "$folder/ld-linux-x86-64.so.2" --library-path "$folder" "$work/start" "$@" | cut -f 2; }
forked=$(run)
spawned=$(run spawn)
echo "glibc $version: fork and exec $forked, posix_spawn $spawned"
[ "$forked" = 0000000000000000 ] && [ "$spawned" = 0000000180000000 ]

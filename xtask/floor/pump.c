/* The floor of the log pump: reads a pipe and writes files, rotated by size on line boundaries.
 * Usage: pump LOG MAXBYTES BACKUPS PROGRAM ARGS...   prints its own CPU time in microseconds and the bytes. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int rotate(int fd, const char *log, int backups) {
    char from[4096], to[4096];
    close(fd);
    for (int i = backups; i > 0; i--) {
        snprintf(to, sizeof to, "%s.%d", log, i);
        if (i > 1) snprintf(from, sizeof from, "%s.%d", log, i - 1);
        else snprintf(from, sizeof from, "%s", log);
        rename(from, to);
    }
    return open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

static void put(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);
        if (n <= 0) exit(1);
        bytes += n;
        count -= n;
    }
}

int main(int argc, char **argv) {
    static char buffer[65536];
    posix_spawn_file_actions_t files;
    struct rusage used;
    int ends[2];
    pid_t pid;
    if (argc < 5 || pipe2(ends, O_CLOEXEC) != 0) return 64;
    const char *log = argv[1];
    long long most = atoll(argv[2]), size = 0, total = 0;
    int backups = atoi(argv[3]), fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, ends[1], 1);
    if (fd < 0 || posix_spawn(&pid, argv[4], &files, NULL, argv + 4, environ) != 0) return 1;
    close(ends[1]);
    for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0; total += n) {
        const char *last = size + n >= most ? memrchr(buffer, '\n', n) : NULL;
        if (last == NULL) {
            put(fd, buffer, n);
            size += n;
            continue;
        }
        size_t head = last + 1 - buffer;
        put(fd, buffer, head);
        if ((fd = rotate(fd, log, backups)) < 0) return 1;
        put(fd, buffer + head, n - head);
        size = n - head;
    }
    waitpid(pid, NULL, 0);
    getrusage(RUSAGE_SELF, &used);
    printf("%lld %lld\n", (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000LL + used.ru_utime.tv_usec + used.ru_stime.tv_usec, total);
    return 0;
}

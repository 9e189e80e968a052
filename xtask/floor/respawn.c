/* The floor of starting and restarting: keeps N copies of a program alive with posix_spawn and waitpid, and does
 * nothing else. Usage: respawn N PROGRAM ARGS...   TERM ends it and its children. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t ending;

static void on_term(int signal) {
    (void)signal;
    ending = 1;
}

static pid_t start(char **argv, int out) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t how;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, 1);
    posix_spawn_file_actions_adddup2(&files, out, 2);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETPGROUP);
    if (posix_spawn(&pid, argv[0], &files, &how, argv, environ) != 0) exit(1);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&how);
    return pid;
}

int main(int argc, char **argv) {
    struct sigaction term = { .sa_handler = on_term }; /* no SA_RESTART: waitpid is to return */
    int out[2];
    if (argc < 3 || pipe2(out, O_CLOEXEC) != 0) return 64;
    int count = atoi(argv[1]);
    pid_t *pids = calloc(count + 1, sizeof *pids);
    sigaction(SIGTERM, &term, NULL);
    for (int i = 0; i < count; i++) pids[i] = start(argv + 2, out[1]);
    while (!ending && count == 0) pause();
    while (!ending) {
        pid_t gone = waitpid(-1, NULL, 0);
        for (int i = 0; gone > 0 && i < count; i++)
            if (pids[i] == gone) {
                pids[i] = start(argv + 2, out[1]);
                break;
            }
    }
    for (int i = 0; i < count; i++) kill(pids[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR) continue;
    return 0;
}

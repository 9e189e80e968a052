/* The supervised program of all measurements: notes its pid and the moment of its first instruction, then ends
 * or stays. Usage: unit FILE exit|pause
 * The line is one O_APPEND write, so lines of many processes never mix. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    char line[64];
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (argc != 3) return 64;
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0) return 1;
    int n = snprintf(line, sizeof line, "%d %lld\n", (int)getpid(), now.tv_sec * 1000000000LL + now.tv_nsec);
    if (write(fd, line, n) != n) return 1;
    close(fd);
    while (strcmp(argv[2], "pause") == 0) pause();
    return 0;
}

/* The floor of a status request. Usage: answer serve SOCKET BYTES | answer ask SOCKET | answer http SOCKET BYTES
 * The server answers each request with that many bytes; the client prints them. The HTTP server does so on
 * connections that are kept, each in a process of its own. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void put(int fd, const char *bytes, size_t count) {
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);
        if (n <= 0) return;
        bytes += n;
        count -= n;
    }
}

static int serve(int fd, size_t size) {
    char *text = malloc(size), request[4096];
    memset(text, 'x', size);
    if (listen(fd, 16) != 0) return 1;
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0) return 1;
        if (read(client, request, sizeof request) > 0) put(client, text, size);
        close(client);
    }
}

static int http(int fd, size_t size) {
    char *text = malloc(size + 128), request[4096];
    if (text == NULL || listen(fd, 16) != 0) return 1;
    size_t head = sprintf(text, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: %zu\r\n\r\n", size);
    memset(text + head, 'x', size);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int client = accept(fd, NULL, NULL);
        if (client < 0) return 1;
        if (fork() == 0) {
            /* A request comes in one piece here. */
            while (read(client, request, sizeof request) > 0) put(client, text, head + size);
            _exit(0);
        }
        close(client);
    }
}

static int ask(int fd) {
    static char buffer[65536];
    put(fd, "GET /\r\n\r\n", 9);
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) put(1, buffer, n);
    return 0;
}

int main(int argc, char **argv) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc < 3 || fd < 0 || strlen(argv[2]) >= sizeof at.sun_path) return 64;
    strcpy(at.sun_path, argv[2]);
    if (strcmp(argv[1], "serve") == 0 && argc == 4)
        return bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || serve(fd, atol(argv[3]));
    if (strcmp(argv[1], "http") == 0 && argc == 4)
        return bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || http(fd, atol(argv[3]));
    return connect(fd, (struct sockaddr *)&at, sizeof at) != 0 || ask(fd);
}

/* A program that logs as fast as it can: numbered lines of 128 bytes in writes of 64 KiB.
 * Usage: writer MEBIBYTES */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 128
#define LINES 512

int main(int argc, char **argv) {
    static char block[LINE * LINES];
    unsigned long long number = 0;
    if (argc != 2) return 64;
    memset(block, '.', sizeof block);
    for (int i = 0; i < LINES; i++) block[i * LINE + LINE - 1] = '\n';
    for (long left = atol(argv[1]) * 16; left > 0; left--) {
        for (int i = 0; i < LINES; i++) {
            unsigned long long rest = number++;
            for (int digit = 11; digit >= 0; digit--, rest /= 10) block[i * LINE + digit] = '0' + rest % 10;
        }
        for (size_t done = 0; done < sizeof block;) {
            ssize_t n = write(1, block + done, sizeof block - done);
            if (n <= 0) return 1;
            done += n;
        }
    }
    return 0;
}

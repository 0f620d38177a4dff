/*
 * A network in a process. For each network namespace named on the command line it holds a TUN
 * device there, called ck0, and carries packets from one to the other by the last byte of their
 * IPv4 destination: the first namespace has .1, the second .2 and so on. Being a process, it needs
 * no filter or queueing discipline that a kernel may lack, and what it drops is lost without a
 * word, as on a wire.
 *
 * Orders come on standard input, one a line, each answered with "ok":
 *   cut FROM TO              drop what FROM sends to TO, not the other direction
 *   weather DELAY JITTER LOSS   delay in ms, plus or minus, and lost permille, except from and to .1
 *   heal                     as at the start
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define ENDS 16
#define PACKET 2048
#define WAITING_MAX 20000

struct packet {
    struct packet *next;
    long due;
    int to, length;
    unsigned char bytes[];
};

static int tun[ENDS], ends, cut[ENDS + 1][ENDS + 1];
static long delay, jitter, loss;
static struct packet *waiting;
static int count;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static long now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000L + at.tv_nsec / 1000;
}

static int open_in(const char *name) {
    char path[256];
    snprintf(path, sizeof path, "/var/run/netns/%s", name);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0 || setns(space, CLONE_NEWNET) != 0) die(path);
    close(space);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq wanted;
    memset(&wanted, 0, sizeof wanted);
    wanted.ifr_flags = IFF_TUN | IFF_NO_PI;
    strcpy(wanted.ifr_name, "ck0");
    if (fd < 0 || ioctl(fd, TUNSETIFF, &wanted) != 0) die("/dev/net/tun");
    return fd;
}

static void deliver(int to, const unsigned char *bytes, int length) {
    /* A device whose queue is full loses the packet, as any would. */
    if (write(tun[to - 1], bytes, length) < 0) return;
}

static void carry(int from, const unsigned char *bytes, int length) {
    if (length < 20 || bytes[0] >> 4 != 4) return;
    int to = bytes[19];
    if (to < 1 || to > ends || cut[from][to]) return;
    if (from == 1 || to == 1 || (!delay && !loss)) {
        deliver(to, bytes, length);
        return;
    }
    if (rand() % 1000 < loss || count >= WAITING_MAX) return;
    struct packet *one = malloc(sizeof *one + length);
    if (!one) return;
    long spread = jitter ? rand() % (2 * jitter * 1000) - jitter * 1000 : 0;
    one->due = now() + delay * 1000 + spread;
    one->to = to;
    one->length = length;
    memcpy(one->bytes, bytes, length);
    struct packet **at = &waiting;
    while (*at && (*at)->due <= one->due) at = &(*at)->next;
    one->next = *at;
    *at = one;
    count++;
}

static void obey(char *line) {
    int from, to;
    if (sscanf(line, "cut %d %d", &from, &to) == 2 && from >= 1 && from <= ends && to >= 1 &&
        to <= ends) {
        cut[from][to] = 1;
    } else if (strncmp(line, "heal", 4) == 0) {
        memset(cut, 0, sizeof cut);
        delay = jitter = loss = 0;
    } else if (sscanf(line, "weather %ld %ld %ld", &delay, &jitter, &loss) != 3) {
        printf("not understood\n");
        fflush(stdout);
        return;
    }
    printf("ok\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    unsigned char bytes[PACKET];
    char line[256];
    int length = 0;
    if (argc < 2 || argc > ENDS) return 2;
    for (int i = 1; i < argc; i++) tun[ends++] = open_in(argv[i]);
    printf("ok\n");
    fflush(stdout);
    for (;;) {
        struct pollfd all[ENDS + 1];
        for (int i = 0; i < ends; i++) all[i] = (struct pollfd){tun[i], POLLIN, 0};
        all[ends] = (struct pollfd){0, POLLIN, 0};
        int wait = waiting ? (int)((waiting->due - now()) / 1000) : 1000;
        poll(all, ends + 1, wait < 0 ? 0 : wait > 1000 ? 1000 : wait);
        while (waiting && waiting->due <= now()) {
            struct packet *one = waiting;
            waiting = one->next;
            count--;
            deliver(one->to, one->bytes, one->length);
            free(one);
        }
        for (int i = 0; i < ends; i++) {
            ssize_t n;
            while ((all[i].revents & POLLIN) && (n = read(tun[i], bytes, sizeof bytes)) > 0)
                carry(i + 1, bytes, n);
        }
        if (all[ends].revents) {
            char c;
            if (read(0, &c, 1) != 1) return 0;
            if (c == '\n') {
                line[length] = 0;
                length = 0;
                obey(line);
            } else if (length < (int)sizeof line - 1) {
                line[length++] = c;
            }
        }
    }
}

/*
 * Power loss in a bottle. Preloaded into a process, it keeps everything written to regular files
 * under CK_SHIM_DIR in the process's own memory until fsync or fdatasync carries it to the file.
 * A SIGKILL then leaves what a power cut would leave: what was synced, and nothing else.
 *
 * With CK_SHIM_IGNORE_FSYNC set, fsync reports success and carries nothing. While the file named by
 * CK_SHIM_FAIL_FSYNC_WHILE exists, fsync fails with EIO. While the one named by CK_SHIM_HOLD_FSYNC_WHILE
 * exists, fsync does not return, and a file of that name with ".held" behind it says that one waits.
 *
 * With CK_SHIM_TEAR set, the first half of each page that is written reaches the file at once, and
 * every third page whole; the rest waits for fsync. A SIGKILL then leaves what a power cut in the
 * middle of writing back leaves.
 *
 * Not modelled: mmap, splice and their like; the directory entry of a new file is durable at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define PAGE 4096
#define BUCKETS 4096

struct page {
    off_t number;
    struct page *next;
    unsigned char bytes[PAGE];
};

/* One file, whatever descriptors it has. */
struct file {
    dev_t device;
    ino_t inode;
    off_t size;  /* as the process sees it */
    off_t valid; /* how far the file on disk still counts */
    struct page *pages[BUCKETS];
    struct file *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct file *files;

static void die(const char *why) {
    syscall(SYS_write, 2, why, strlen(why));
    abort();
}

static int real_stat(int fd, struct stat *out) {
    struct statx x;
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) != 0) return -1;
    memset(out, 0, sizeof *out);
    out->st_dev = ((dev_t)x.stx_dev_major << 32) | x.stx_dev_minor;
    out->st_ino = x.stx_ino;
    out->st_mode = x.stx_mode;
    out->st_size = x.stx_size;
    return 0;
}

static struct file *known(dev_t device, ino_t inode) {
    for (struct file *f = files; f; f = f->next)
        if (f->device == device && f->inode == inode) return f;
    return NULL;
}

static struct file *file_of(int fd) {
    struct stat s;
    if (!files || real_stat(fd, &s) != 0 || !S_ISREG(s.st_mode)) return NULL;
    return known(s.st_dev, s.st_ino);
}

static struct page *find(struct file *f, off_t number) {
    struct page *p = f->pages[number % BUCKETS];
    while (p && p->number != number) p = p->next;
    return p;
}

static void drop_pages(struct file *f, off_t from) {
    for (int b = 0; b < BUCKETS; b++) {
        struct page **at = &f->pages[b];
        while (*at) {
            struct page *p = *at;
            if (p->number >= from) {
                *at = p->next;
                free(p);
            } else {
                at = &p->next;
            }
        }
    }
}

/* What the disk holds, zeros beyond its valid part. */
static void disk_read(struct file *f, int fd, unsigned char *to, size_t count, off_t at) {
    size_t done = 0;
    while (done < count && at + (off_t)done < f->valid) {
        size_t want = count - done;
        if (at + (off_t)(done + want) > f->valid) want = f->valid - at - done;
        ssize_t n = syscall(SYS_pread64, fd, to + done, want, at + (off_t)done);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        done += n;
    }
    memset(to + done, 0, count - done);
}

static struct page *touch(struct file *f, int fd, off_t number) {
    struct page *p = find(f, number);
    if (p) return p;
    p = malloc(sizeof *p);
    if (!p) die("power_loss: out of memory\n");
    p->number = number;
    disk_read(f, fd, p->bytes, PAGE, number * PAGE);
    p->next = f->pages[number % BUCKETS];
    f->pages[number % BUCKETS] = p;
    return p;
}

/* A part of what was just written reaches the disk without having been asked for. */
static void tear(struct file *f, int fd, off_t number) {
    struct page *p = find(f, number);
    size_t count = number % 3 ? PAGE / 2 : PAGE;
    off_t at = number * PAGE;
    if (!p || !getenv("CK_SHIM_TEAR")) return;
    /* What it does not take, it would not have taken at the cut either. */
    if (syscall(SYS_pwrite64, fd, p->bytes, count, at) < 0) errno = 0;
}

static ssize_t overlay_write(struct file *f, int fd, const void *from, size_t count, off_t at) {
    const unsigned char *bytes = from;
    for (size_t done = 0; done < count;) {
        off_t here = at + (off_t)done;
        size_t within = here % PAGE, part = PAGE - within;
        if (part > count - done) part = count - done;
        memcpy(touch(f, fd, here / PAGE)->bytes + within, bytes + done, part);
        tear(f, fd, here / PAGE);
        done += part;
    }
    if (at + (off_t)count > f->size) f->size = at + count;
    return count;
}

static ssize_t overlay_read(struct file *f, int fd, void *to, size_t count, off_t at) {
    unsigned char *bytes = to;
    if (at >= f->size) return 0;
    if (at + (off_t)count > f->size) count = f->size - at;
    for (size_t done = 0; done < count;) {
        off_t here = at + (off_t)done;
        size_t within = here % PAGE, part = PAGE - within;
        if (part > count - done) part = count - done;
        struct page *p = find(f, here / PAGE);
        if (p) memcpy(bytes + done, p->bytes + within, part);
        else disk_read(f, fd, bytes + done, part, here);
        done += part;
    }
    return count;
}

static void overlay_resize(struct file *f, int fd, off_t size) {
    if (size < f->size) {
        if (size % PAGE) {
            struct page *last = touch(f, fd, size / PAGE);
            memset(last->bytes + size % PAGE, 0, PAGE - size % PAGE);
        }
        drop_pages(f, (size + PAGE - 1) / PAGE);
        if (size < f->valid) f->valid = size;
    }
    f->size = size;
}

static int flush(struct file *f, int fd) {
    if (getenv("CK_SHIM_IGNORE_FSYNC")) return 0;
    if (syscall(SYS_ftruncate, fd, f->valid) != 0) return -1;
    if (syscall(SYS_ftruncate, fd, f->size) != 0) return -1;
    for (int b = 0; b < BUCKETS; b++) {
        for (struct page *p = f->pages[b]; p; p = p->next) {
            off_t at = p->number * PAGE;
            size_t count = PAGE;
            if (at >= f->size) continue;
            if (at + (off_t)count > f->size) count = f->size - at;
            if (syscall(SYS_pwrite64, fd, p->bytes, count, at) != (long)count) return -1;
        }
    }
    f->valid = f->size;
    drop_pages(f, 0);
    return 0;
}

/* ---- opening ---- */

static void opened(int fd, int flags, int created) {
    const char *root = getenv("CK_SHIM_DIR");
    char link[64], path[PATH_MAX];
    struct stat s;
    if (!root || fd < 0 || real_stat(fd, &s) != 0 || !S_ISREG(s.st_mode)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return;
    path[n] = 0;
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != 0)) return;
    /* SQLite maps the index of its log into memory, and makes it anew after a crash. */
    size_t whole = strlen(path);
    if (whole > 4 && strcmp(path + whole - 4, "-shm") == 0) return;
    pthread_mutex_lock(&lock);
    struct file *f = known(s.st_dev, s.st_ino);
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f) die("power_loss: out of memory\n");
        f->device = s.st_dev;
        f->inode = s.st_ino;
        f->size = f->valid = s.st_size;
        f->next = files;
        files = f;
    } else if (created || (flags & O_TRUNC)) {
        drop_pages(f, 0);
        f->size = f->valid = s.st_size;
    }
    pthread_mutex_unlock(&lock);
}

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    int created = (flags & O_CREAT) && syscall(SYS_faccessat, dir, path, F_OK) != 0;
    int fd = syscall(SYS_openat, dir, path, flags | O_LARGEFILE, mode);
    int error = errno;
    opened(fd, flags, created);
    errno = error;
    return fd;
}

#define MODE(flags, mode)                          \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {       \
        va_list all;                               \
        va_start(all, flags);                      \
        mode = va_arg(all, int);                   \
        va_end(all);                               \
    }

int open(const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode)
    return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int dir, const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode)
    return open_at(dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
    mode_t mode = 0;
    MODE(flags, mode)
    return open_at(dir, path, flags, mode);
}

/* ---- reading and writing ---- */

#define OVERLAID(fd, f, real, overlaid)            \
    do {                                           \
        pthread_mutex_lock(&lock);                 \
        struct file *f = file_of(fd);              \
        ssize_t result = f ? (overlaid) : 0;       \
        pthread_mutex_unlock(&lock);               \
        return f ? result : (real);                \
    } while (0)

ssize_t pwrite64(int fd, const void *from, size_t count, off_t at) {
    OVERLAID(fd, f, syscall(SYS_pwrite64, fd, from, count, at),
             overlay_write(f, fd, from, count, at));
}
ssize_t pwrite(int fd, const void *from, size_t count, off_t at) {
    return pwrite64(fd, from, count, at);
}
ssize_t pread64(int fd, void *to, size_t count, off_t at) {
    OVERLAID(fd, f, syscall(SYS_pread64, fd, to, count, at), overlay_read(f, fd, to, count, at));
}
ssize_t pread(int fd, void *to, size_t count, off_t at) {
    return pread64(fd, to, count, at);
}

static ssize_t write_here(struct file *f, int fd, const void *from, size_t count) {
    int appends = syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND;
    off_t at = appends ? f->size : syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t n = overlay_write(f, fd, from, count, at);
    syscall(SYS_lseek, fd, at + n, SEEK_SET);
    return n;
}
static ssize_t read_here(struct file *f, int fd, void *to, size_t count) {
    off_t at = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    ssize_t n = overlay_read(f, fd, to, count, at);
    syscall(SYS_lseek, fd, at + n, SEEK_SET);
    return n;
}
static ssize_t write_all(struct file *f, int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) total += write_here(f, fd, parts[i].iov_base, parts[i].iov_len);
    return total;
}
static ssize_t read_all(struct file *f, int fd, const struct iovec *parts, int count) {
    ssize_t total = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = read_here(f, fd, parts[i].iov_base, parts[i].iov_len);
        total += n;
        if (n < (ssize_t)parts[i].iov_len) break;
    }
    return total;
}

ssize_t write(int fd, const void *from, size_t count) {
    OVERLAID(fd, f, syscall(SYS_write, fd, from, count), write_here(f, fd, from, count));
}
ssize_t read(int fd, void *to, size_t count) {
    OVERLAID(fd, f, syscall(SYS_read, fd, to, count), read_here(f, fd, to, count));
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    OVERLAID(fd, f, syscall(SYS_writev, fd, parts, count), write_all(f, fd, parts, count));
}
ssize_t readv(int fd, const struct iovec *parts, int count) {
    OVERLAID(fd, f, syscall(SYS_readv, fd, parts, count), read_all(f, fd, parts, count));
}

static int resize(struct file *f, int fd, off_t size) {
    overlay_resize(f, fd, size);
    return 0;
}
int ftruncate64(int fd, off_t size) {
    OVERLAID(fd, f, syscall(SYS_ftruncate, fd, size), resize(f, fd, size));
}
int ftruncate(int fd, off_t size) {
    return ftruncate64(fd, size);
}

off_t lseek64(int fd, off_t at, int whence) {
    OVERLAID(fd, f, syscall(SYS_lseek, fd, at, whence),
             whence == SEEK_END ? syscall(SYS_lseek, fd, f->size + at, SEEK_SET)
                                : syscall(SYS_lseek, fd, at, whence));
}
off_t lseek(int fd, off_t at, int whence) {
    return lseek64(fd, at, whence);
}

/* ---- asking for the size ---- */

static off_t size_seen(dev_t device, ino_t inode, mode_t mode, off_t real) {
    pthread_mutex_lock(&lock);
    struct file *f = S_ISREG(mode) ? known(device, inode) : NULL;
    off_t size = f ? f->size : real;
    pthread_mutex_unlock(&lock);
    return size;
}
int statx(int dir, const char *restrict path, int flags, unsigned mask, struct statx *restrict out) {
    int result = syscall(SYS_statx, dir, path, flags, mask | STATX_BASIC_STATS, out);
    if (result == 0) {
        dev_t device = ((dev_t)out->stx_dev_major << 32) | out->stx_dev_minor;
        out->stx_size = size_seen(device, out->stx_ino, out->stx_mode, out->stx_size);
    }
    return result;
}
int fstat(int fd, struct stat *out) {
    int result = syscall(SYS_fstat, fd, out);
    struct stat s;
    if (result == 0 && real_stat(fd, &s) == 0)
        out->st_size = size_seen(s.st_dev, s.st_ino, s.st_mode, out->st_size);
    return result;
}
int fstat64(int fd, struct stat64 *out) {
    return fstat(fd, (struct stat *)out);
}

/* ---- making it durable ---- */

/* Without the lock: whoever reads and writes meanwhile does not wait. */
static void held(int fd) {
    const char *holding = getenv("CK_SHIM_HOLD_FSYNC_WHILE");
    char told[PATH_MAX];
    pthread_mutex_lock(&lock);
    int ours = file_of(fd) != NULL;
    pthread_mutex_unlock(&lock);
    if (!holding || !ours || access(holding, F_OK) != 0) return;
    snprintf(told, sizeof told, "%s.held", holding);
    int mark = syscall(SYS_openat, AT_FDCWD, told, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    if (mark >= 0) syscall(SYS_close, mark);
    while (access(holding, F_OK) == 0) usleep(1000);
}

static int sync_real(struct file *f, int fd, long call) {
    const char *failing = getenv("CK_SHIM_FAIL_FSYNC_WHILE");
    if (failing && access(failing, F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    if (flush(f, fd) != 0) return -1;
    return getenv("CK_SHIM_IGNORE_FSYNC") ? 0 : syscall(call, fd);
}
int fsync(int fd) {
    held(fd);
    OVERLAID(fd, f, syscall(SYS_fsync, fd), sync_real(f, fd, SYS_fsync));
}
int fdatasync(int fd) {
    held(fd);
    OVERLAID(fd, f, syscall(SYS_fdatasync, fd), sync_real(f, fd, SYS_fdatasync));
}

/* Tries to break out of the jail, one way for each name. `attempts --list` prints the names, `attempts NAME` tries
 * one: exit code 0 when it was stopped, 1 with a line that begins with ESCAPED when it was not.
 *
 * The test gives in the environment what lies outside: see `outside`. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/perf_event.h>
#include <linux/vm_sockets.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAMILIES 64 /* more than there are */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

static int escaped;

/* Notes that something was possible. */
static void out(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("ESCAPED: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    escaped = 1;
}

/* What must have failed, and with which error; 0 is any. */
static void expect(long result, int error, const char *what) {
    if (result >= 0) out("%s succeeded (%ld)", what, result);
    else if (error && errno != error) out("%s: %s, not %s", what, strerror(errno), strerror(error));
}

/* Something outside that the test names: JAIL_PID (a process of the same user), JAIL_FD (a socket that it has),
 * JAIL_PATH (a local socket that somebody listens on), JAIL_ABSTRACT (another one), JAIL_SETUID (a set-uid
 * program), JAIL_FILE (a file that it may change). */
static const char *outside(const char *name) {
    const char *value = getenv(name);
    if (!value) { printf("ESCAPED: the test does not say %s\n", name); exit(1); }
    return value;
}

static pid_t outsider(void) { return atoi(outside("JAIL_PID")); }
static int pipe_number(void) { return atoi(outside("LUASOCKETD_FD")); }

/* The end of a child that runs `attempt`. */
static int ended(void (*attempt)(void)) {
    pid_t child = fork();
    int status;
    if (child == 0) { attempt(); _exit(0); }
    waitpid(child, &status, 0);
    return status;
}

static struct sockaddr_un local(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

/* --- sockets --- */

static void socket_families(void) {
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM | SOCK_CLOEXEC};
    for (int family = 0; family < FAMILIES; family++)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            expect(socket(family, types[i], 0), EAFNOSUPPORT, "socket");
    /* The upper half of an argument is not looked at by the kernel. */
    expect(syscall(SYS_socket, 0xdeadbeef00000000 | AF_INET, SOCK_STREAM, 0), EAFNOSUPPORT, "socket, upper bits");
}

static void netlink(void) { expect(socket(AF_NETLINK, SOCK_RAW, 0), EAFNOSUPPORT, "netlink"); }
static void vsock(void) { expect(socket(AF_VSOCK, SOCK_STREAM, 0), EAFNOSUPPORT, "vsock"); }
static void af_alg(void) { expect(socket(AF_ALG, SOCK_SEQPACKET, 0), EAFNOSUPPORT, "AF_ALG"); }
static void packet(void) { expect(socket(AF_PACKET, SOCK_RAW, 0x0300), EAFNOSUPPORT, "packet"); }

static void pair_datagram(void) {
    int pair[2];
    expect(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), EAFNOSUPPORT, "a datagram pair");
    expect(socketpair(AF_UNIX, SOCK_RAW, 0, pair), EAFNOSUPPORT, "a raw pair");
    expect(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), EAFNOSUPPORT, "a non-blocking pair");
    for (int family = 0; family < FAMILIES; family++)
        if (family != AF_UNIX) expect(socketpair(family, SOCK_STREAM, 0, pair), EAFNOSUPPORT, "another pair");
}

/* Takes a socket elsewhere. */
static void wander(int fd) {
    struct sockaddr_un path = local(outside("JAIL_PATH"));
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    expect(connect(fd, &none, sizeof none), EACCES, "connect to nowhere");
    expect(connect(fd, (void *)&path, sizeof path), EACCES, "connect to a path");
    expect(connect(fd, (void *)&inet, sizeof inet), EACCES, "connect to an address");
    expect(bind(fd, (void *)&path, sizeof(sa_family_t)), EACCES, "bind");
    expect(listen(fd, 1), EACCES, "listen");
    expect(accept(fd, NULL, NULL), EACCES, "accept");
    expect(accept4(fd, NULL, NULL, 0), EACCES, "accept4");
    expect(sendto(fd, "x", 1, MSG_NOSIGNAL, (void *)&path, sizeof path), 0, "sendto a path");
}

static void pair_connect(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) out("a pair of streams is refused");
    close(pair[1]);
    wander(pair[0]);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair)) out("a pair of packet sockets is refused");
    close(pair[1]); /* with its peer there the address is ignored, and the peer gets it */
    wander(pair[0]);
}

static void pipe_connect(void) { wander(pipe_number()); }

/* Sends descriptors over the pipe and asks for some. The test counts the daemon's in the meantime. */
static void pipe_ancillary(void) {
    enum { COUNT = 50 };
    char byte = (char)0x94; /* the begin of a frame, so that the daemon waits for the rest */
    union { char bytes[CMSG_SPACE(COUNT * sizeof(int))]; struct cmsghdr head; } control = {0};
    struct iovec data = {&byte, 1};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof control};
    int numbers[COUNT], one = 1;
    for (int i = 0; i < COUNT; i++) numbers[i] = open("/dev/null", O_RDONLY);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof numbers);
    memcpy(CMSG_DATA(&control.head), numbers, sizeof numbers);
    if (sendmsg(pipe_number(), &message, 0) != 1) out("cannot even send: %s", strerror(errno));
    puts("sent");
    fflush(stdout);
    /* Until the test has counted. */
    for (int tries = 0; access(outside("JAIL_FILE"), F_OK) == 0; tries++) {
        if (tries > 3000) { out("the test does not remove its file"); break; }
        usleep(10000);
    }
    setsockopt(pipe_number(), SOL_SOCKET, SO_PASSCRED, &one, sizeof one);
    message.msg_controllen = sizeof control;
    if (recvmsg(pipe_number(), &message, MSG_DONTWAIT) >= 0)
        for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head))
            if (head->cmsg_type == SCM_RIGHTS) out("the daemon sent a descriptor");
}

static void peer_pidfd(void) {
    int fd = -1;
    socklen_t length = sizeof fd;
    if (getsockopt(pipe_number(), SOL_SOCKET, SO_PEERPIDFD, &fd, &length)) return;
    expect(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), EPERM, "pidfd_send_signal to the peer");
    for (int number = 0; number < 20; number++)
        expect(syscall(SYS_pidfd_getfd, fd, number, 0), EPERM, "pidfd_getfd of the peer");
}

static void io_uring(void) {
    char parameters[256] = {0};
    expect(syscall(SYS_io_uring_setup, 8, parameters), EPERM, "io_uring_setup");
    expect(syscall(SYS_io_uring_enter, 0, 0, 0, 0, NULL, 0), EPERM, "io_uring_enter");
    expect(syscall(SYS_io_uring_register, 0, 0, NULL, 0), EPERM, "io_uring_register");
}

static void reach(const char *path, size_t length) {
    struct sockaddr_un address = local(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
    if (length) {
        memset(address.sun_path, 0, sizeof address.sun_path);
        memcpy(address.sun_path + 1, path, length);
    }
    expect(fd, EAFNOSUPPORT, "a local socket");
    expect(open(path, O_RDWR), 0, "open of a socket");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) out("a pair of streams is refused");
    expect(connect(pair[0], (void *)&address, sizeof address), EACCES, "connect of a pair");
}

static void docker_socket(void) { reach(outside("JAIL_PATH"), 0); }
static void second_pipe(void) { reach(outside("JAIL_SERVE"), 0); }
static void admin_socket(void) { reach(outside("JAIL_ADMIN"), 0); }
static void abstract_socket(void) { reach(outside("JAIL_ABSTRACT"), strlen(outside("JAIL_ABSTRACT"))); }

static void tun(void) {
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR);
    if (fd < 0) fd = 0; /* the filter does not look at what the descriptor is */
    expect(ioctl(fd, TUNSETIFF, &request), EPERM, "TUNSETIFF");
}

/* --- other processes --- */

static void trace(void) {
    expect(ptrace(PTRACE_ATTACH, getppid(), 0, 0), EPERM, "ptrace of the daemon");
    expect(ptrace(PTRACE_SEIZE, outsider(), 0, 0), EPERM, "ptrace of an outsider");
    expect(ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM, "ptrace by the daemon");
}

static void kill_daemon(void) {
    pid_t all[] = {getppid(), outsider()};
    for (int i = 0; i < 2; i++) {
        union sigval value = {0};
        expect(kill(all[i], SIGKILL), EPERM, "kill");
        expect(kill(all[i], SIGSTOP), EPERM, "kill with SIGSTOP");
        expect(kill(all[i], 0), EPERM, "kill with 0");
        expect(syscall(SYS_tkill, all[i], SIGKILL), EPERM, "tkill");
        expect(syscall(SYS_tgkill, all[i], all[i], SIGKILL), EPERM, "tgkill");
        expect(sigqueue(all[i], SIGKILL, value), EPERM, "sigqueue");
        int fd = syscall(SYS_pidfd_open, all[i], 0);
        if (fd >= 0) expect(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0), EPERM, "pidfd_send_signal");
    }
}

/* Every process that a signal would reach has to be this one: it has no child. */
static void signal_anybody(void) {
    DIR *all = opendir("/proc");
    for (struct dirent *entry; all && (entry = readdir(all));) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0 && pid != getpid() && kill(pid, 0) == 0) out("process %d can be signalled", pid);
    }
    /* To everybody: the test sees whether somebody outside was hit. */
    if (!escaped) kill(-1, SIGTERM);
}

/* Lets the kernel send the signal. */
static void owned_signal(void) {
    pid_t all[] = {getppid(), outsider()};
    for (int i = 0; i < 2; i++) {
        int ends[2];
        if (pipe(ends)) out("no pipe");
        fcntl(ends[0], F_SETOWN, all[i]);
        fcntl(ends[0], F_SETSIG, SIGKILL);
        fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK);
        if (write(ends[1], "x", 1) != 1) out("no write");
    }
    usleep(100000);
    if (getppid() != all[0]) out("the daemon was killed");
}

static void memory_of(pid_t pid) {
    char path[64], byte = 0;
    static const char *const files[] = {"mem", "environ", "root", "cwd", "exe", "maps", "ns/net", "fd/0", "fd/1",
                                        "fd/3", "fd/4", "fd/5"};
    struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
        int fd = open(path, O_RDONLY | O_NONBLOCK);
        /* The check of some comes with the first read. */
        if (fd >= 0 && (read(fd, &byte, 1) >= 0 || errno != EPERM)) out("%s can be opened", path);
    }
    snprintf(path, sizeof path, "/proc/%d/mem", pid);
    expect(open(path, O_RDWR), 0, "open of a memory for writing");
    expect(process_vm_readv(pid, &here, 1, &there, 1, 0), EPERM, "process_vm_readv");
    expect(process_vm_writev(pid, &here, 1, &there, 1, 0), EPERM, "process_vm_writev");
}

static void process_memory(void) { memory_of(outsider()); }
static void daemon_memory(void) { memory_of(getppid()); }

static void other_client(void) {
    char path[64], target[64];
    int fd;
    snprintf(path, sizeof path, "/proc/%d/fd/%s", outsider(), outside("JAIL_FD"));
    expect(open(path, O_RDWR), 0, "open of another client's descriptor");
    expect(readlink(path, target, sizeof target), 0, "a look at another client's descriptor");
    fd = syscall(SYS_pidfd_open, outsider(), 0);
    expect(syscall(SYS_pidfd_getfd, fd, atoi(outside("JAIL_FD")), 0), EPERM, "pidfd_getfd");
}

static void limit_daemon(void) {
    struct rlimit none = {0, 0};
    struct sched_param idle = {0};
    cpu_set_t first;
    CPU_ZERO(&first);
    CPU_SET(0, &first);
    expect(prlimit(getppid(), RLIMIT_NOFILE, &none, NULL), EPERM, "prlimit");
    expect(syscall(SYS_sched_setaffinity, getppid(), sizeof first, &first), EPERM, "sched_setaffinity");
    expect(syscall(SYS_sched_setscheduler, getppid(), SCHED_IDLE, &idle), EPERM, "sched_setscheduler");
    expect(setpriority(PRIO_PROCESS, getppid(), 19), EPERM, "setpriority of a process");
    expect(setpriority(PRIO_PGRP, 0, 19), EPERM, "setpriority of a group");
    expect(setpriority(PRIO_USER, 0, 19), EPERM, "setpriority of a user");
    expect(syscall(SYS_ioprio_set, 1, getppid(), 3 << 13), EPERM, "ioprio_set");
}

static void shared_memory(void) {
    expect(shmget(IPC_PRIVATE, 4096, 0600), EPERM, "shmget");
    expect((long)shmat(0, NULL, 0), EPERM, "shmat");
    expect(syscall(SYS_msgget, IPC_PRIVATE, 0600), EPERM, "msgget");
    expect(syscall(SYS_semget, IPC_PRIVATE, 1, 0600), EPERM, "semget");
    expect(syscall(SYS_mq_open, "jail", O_RDWR | O_CREAT, 0600, NULL), EPERM, "mq_open");
}

/* --- more powers --- */

static void set_uid_helper(void) {
    int ends[2], status;
    char id[32] = "";
    if (pipe(ends)) out("no pipe");
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        execl(outside("JAIL_SETUID"), "id", "--id", (char *)NULL);
        _exit(1);
    }
    close(ends[1]);
    if (read(ends[0], id, sizeof id - 1) <= 0) out("the helper did not run");
    waitpid(child, &status, 0);
    if (atoi(id) != (int)getuid()) out("the helper runs as user %s", id);
}

static void make_set_uid(void) {
    const char *path = outside("JAIL_FILE");
    int fd = open(path, O_RDWR);
    if (fd < 0) out("%s: %s", path, strerror(errno));
    expect(chmod(path, 04755), EPERM, "chmod");
    expect(chmod(path, 02755), EPERM, "chmod, set-gid");
    expect(fchmod(fd, 04755), EPERM, "fchmod");
    expect(fchmodat(AT_FDCWD, path, 04755, 0), EPERM, "fchmodat");
    expect(syscall(452, AT_FDCWD, path, 04755, 0), EPERM, "fchmodat2");
    char other[4096];
    snprintf(other, sizeof other, "%s.new", path);
    expect(open(other, O_RDWR | O_CREAT, 04755), EPERM, "open");
    expect(creat(other, 04755), EPERM, "creat");
    expect(mknod(other, S_IFREG | 04755, 0), EPERM, "mknod");
    expect(syscall(SYS_openat2, AT_FDCWD, other, NULL, 0), ENOSYS, "openat2");
    if (chmod(path, 0640)) out("an ordinary mode is refused: %s", strerror(errno));
}

static int nothing(void *unused) { (void)unused; return 0; }

static void namespaces(void) {
    static const int all[] = {CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWIPC, CLONE_NEWUTS,
                              CLONE_NEWCGROUP};
    static char stack[65536];
    uint64_t request[11] = {CLONE_NEWUSER};
    request[4] = SIGCHLD;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        expect(unshare(all[i]), EPERM, "unshare");
        expect(clone(nothing, stack + sizeof stack, all[i] | SIGCHLD, NULL), EPERM, "clone");
        expect(clone(nothing, stack + sizeof stack, CLONE_NEWUSER | all[i] | SIGCHLD, NULL), EPERM, "clone");
    }
    expect(syscall(SYS_clone3, request, sizeof request), ENOSYS, "clone3");
    expect(setns(open("/proc/self/ns/net", O_RDONLY), 0), EPERM, "setns");
}

static void kernel(void) {
    union bpf_attr program = {.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
    struct perf_event_attr event = {.size = sizeof event};
    expect(syscall(SYS_bpf, BPF_MAP_CREATE, &program, sizeof program), EPERM, "bpf");
    expect(syscall(SYS_perf_event_open, &event, 0, -1, -1, 0), EPERM, "perf_event_open");
    expect(syscall(SYS_userfaultfd, O_CLOEXEC), EPERM, "userfaultfd");
    expect(syscall(SYS_init_module, "", 0, ""), EPERM, "init_module");
    expect(syscall(SYS_finit_module, 0, "", 0), EPERM, "finit_module");
    expect(syscall(SYS_kexec_load, 0, 0, NULL, 0), EPERM, "kexec_load");
    expect(syscall(SYS_syslog, 3, NULL, 0), EPERM, "syslog");
    expect(syscall(SYS_reboot, 0, 0, 0, 0), EPERM, "reboot");
}

static void keys(void) {
    expect(syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 0), EPERM, "keyctl");
    expect(syscall(SYS_add_key, "user", "jail", "x", 1, KEY_SPEC_SESSION_KEYRING), EPERM, "add_key");
    expect(syscall(SYS_request_key, "user", "jail", "x", 0), EPERM, "request_key");
}

static void mounts(void) {
    expect(mount("none", "/tmp", "tmpfs", 0, ""), EPERM, "mount");
    expect(umount("/tmp"), EPERM, "umount");
    expect(chroot("/tmp"), EPERM, "chroot");
    expect(syscall(SYS_pivot_root, "/", "/"), EPERM, "pivot_root");
    expect(syscall(SYS_fsopen, "tmpfs", 0), EPERM, "fsopen");
    expect(syscall(SYS_open_tree, AT_FDCWD, "/", 1), EPERM, "open_tree");
    expect(syscall(SYS_move_mount, 0, "", 0, "", 0), EPERM, "move_mount");
    expect(syscall(SYS_mount_setattr, 0, "", 0, NULL, 0), EPERM, "mount_setattr");
}

static void file_handle(void) {
    char handle[136] = {128};
    expect(syscall(SYS_open_by_handle_at, AT_FDCWD, handle, O_RDONLY), EPERM, "open_by_handle_at");
}

static void terminal(void) {
    int fd = open("/dev/tty", O_RDWR);
    char key = 'x', paste = 3;
    int line = 0;
    if (fd < 0) { out("the test gives no terminal: %s", strerror(errno)); return; }
    expect(ioctl(fd, TIOCSTI, &key), EPERM, "TIOCSTI");
    expect(syscall(SYS_ioctl, fd, 0x100000000UL | TIOCSTI, &key), EPERM, "TIOCSTI with an upper bit");
    expect(ioctl(fd, TIOCLINUX, &paste), EPERM, "TIOCLINUX");
    expect(ioctl(fd, TIOCSETD, &line), EPERM, "TIOCSETD");
}

static void root_powers(void) {
    struct { uint32_t version; int pid; } head = {0x20080522, 0};
    struct { uint32_t effective, permitted, inheritable; } all[2] = {{~0u, ~0u, 0}, {~0u, ~0u, 0}};
    char path[4096];
    snprintf(path, sizeof path, "%s.device", outside("JAIL_FILE"));
    expect(mknod(path, S_IFCHR | 0600, makedev(1, 1)), EPERM, "a device");
    expect(syscall(SYS_capset, &head, all), EPERM, "capset");
    /* Others than root cannot use theirs, as no program gives them more powers. */
    if (getuid() == 0 && prctl(PR_CAPBSET_READ, 12) != 0) out("CAP_NET_ADMIN is in the bounding set");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) out("no_new_privs is not set");
}

/* --- around the filter --- */

static void call_x32(void) {
    syscall(0x40000000 | SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static void x32(void) {
    int status = ended(call_x32);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) out("a call of x32 ends by %#x", status);
    for (int number = 512; number < 548; number++) expect(syscall(number, 0, 0, 0), ENOSYS, "a call of old x32");
}

static void call_int80(void) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(359L), "b"(AF_INET), "c"(SOCK_STREAM), "d"(0) : "memory");
#else
    raise(SIGSYS); /* there is no such way */
#endif
}

static void int80(void) {
    int status = ended(call_int80);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) out("int 0x80 ends by %#x", status);
}

static void new_calls(void) {
    for (int number = 470; number < 700; number++) expect(syscall(number, 0, 0, 0, 0, 0, 0), ENOSYS, "a new call");
}

/* A program without a file is jailed as any. */
static void memfd(void) {
    char buffer[65536];
    int from = open("/proc/self/exe", O_RDONLY), to = memfd_create("program", 0), status;
    for (ssize_t length; (length = read(from, buffer, sizeof buffer)) > 0;)
        if (write(to, buffer, length) != length) out("cannot write");
    pid_t child = fork();
    if (child == 0) {
        char *words[] = {"attempts", "socket-families", NULL};
        fexecve(to, words, environ);
        _exit(1);
    }
    waitpid(child, &status, 0);
    if (status) out("the program in memory ends by %#x", status);
}

static const struct { const char *name; void (*attempt)(void); } attempts[] = {
    {"socket-families", socket_families}, {"netlink", netlink}, {"vsock", vsock}, {"af-alg", af_alg},
    {"packet", packet}, {"pair-datagram", pair_datagram}, {"pair-connect", pair_connect},
    {"pipe-connect", pipe_connect}, {"pipe-ancillary", pipe_ancillary}, {"peer-pidfd", peer_pidfd},
    {"io-uring", io_uring}, {"docker-socket", docker_socket}, {"second-pipe", second_pipe},
    {"admin-socket", admin_socket}, {"abstract-socket", abstract_socket}, {"tun", tun}, {"ptrace", trace},
    {"kill", kill_daemon}, {"owned-signal", owned_signal}, {"process-memory", process_memory},
    {"daemon-memory", daemon_memory},
    {"other-client", other_client}, {"limit-daemon", limit_daemon}, {"shared-memory", shared_memory},
    {"set-uid-helper", set_uid_helper}, {"make-set-uid", make_set_uid}, {"namespaces", namespaces},
    {"kernel", kernel}, {"keys", keys}, {"mounts", mounts}, {"file-handle", file_handle},
    {"terminal", terminal}, {"root-powers", root_powers}, {"x32", x32}, {"int80", int80},
    {"new-calls", new_calls}, {"memfd", memfd}, {"signal-anybody", signal_anybody},
};

int main(int count, char **words) {
    const char *wanted = count > 1 ? words[1] : "";
    signal(SIGTERM, SIG_IGN);
    if (!strcmp(wanted, "--id")) return printf("%d\n", (int)geteuid()) < 0;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
        if (!strcmp(wanted, "--list")) puts(attempts[i].name);
        if (strcmp(wanted, attempts[i].name)) continue;
        attempts[i].attempt();
        if (!escaped) puts("stopped");
        return escaped;
    }
    return strcmp(wanted, "--list") ? 2 : 0;
}

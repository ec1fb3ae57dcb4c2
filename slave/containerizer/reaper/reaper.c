//go:build linux && cgo

// The reaper: see doc.go for what it is and for the conversation with the host.
// It runs before the Go runtime, in a process with one thread, and never returns.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "filter.h"

// What the host says after the launch. Keep in step with control_linux.go.
enum { ORDER_SIGNAL = 1, ORDER_KILL = 2 };
struct order {
	uint32_t kind;
	int32_t value;
};

// What the host hears.
enum { ABOUT_TO_EXECUTE = 1, EXECUTED = 2, NOT_EXECUTED = 3, ENDED = 4, PRESENT = 5, NOT_ENTERED = 6 };
struct report {
	uint32_t kind;
	int32_t value; // errno of NOT_EXECUTED and NOT_ENTERED, wait status of ENDED
	uint64_t cpu_microseconds;
	uint64_t peak_kilobytes;
};

// The host refuses larger launches (MaxLaunchBytes); this only bounds an allocation.
#define MAX_LAUNCH_BYTES (9u << 20)

// How much later than asked a timer may wake the command: the kernel's own default,
// whatever the host has for itself.
#define TIMER_SLACK_NANOSECONDS 50000ul

// The kernel knows no more (containerizer.MaxRlimits).
#define MAX_LIMITS 16u

// The host sends no more (MaxCgroups).
#define MAX_CGROUPS 16

struct reaper {
	int control;   // socket to the host
	int signals;   // signalfd
	int alone;     // PID 1 of a pid namespace: the kernel kills what is left
	pid_t command; // 0 once it has been waited for
	int status;    // its wait status
};

static int read_all(int fd, void *to, size_t size)
{
	char *at = to;
	while (size > 0) {
		ssize_t n = read(fd, at, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

static void tell(int control, uint32_t kind, int32_t value)
{
	struct report report = { .kind = kind, .value = value };
	if (kind == ENDED) {
		struct rusage usage;
		if (getrusage(RUSAGE_CHILDREN, &usage) == 0) {
			report.cpu_microseconds =
				(uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
				(uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
			report.peak_kilobytes = (uint64_t)usage.ru_maxrss;
		}
	}
	// A host that has gone is noticed as the end of its socket, not here.
	(void)!send(control, &report, sizeof report, MSG_NOSIGNAL);
}

// note takes the end of one child into account.
static void note(struct reaper *r, pid_t child, int status)
{
	if (child == r->command) {
		r->command = 0;
		r->status = status;
	}
}

// kill_children sends SIGKILL to every direct child. Whose parent dies becomes a
// direct child, so calling it until there is none ends every descendant.
static void kill_children(void)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *children = fopen(path, "re");
	if (children == NULL)
		return;
	int pid;
	while (fscanf(children, "%d", &pid) == 1)
		if (pid > 1)
			kill(pid, SIGKILL);
	fclose(children);
}

// end_all kills and reaps everything below the reaper.
static void end_all(struct reaper *r)
{
	for (;;) {
		if (r->alone)
			kill(-1, SIGKILL);
		else {
			if (r->command > 0) // also where the kernel does not list children
				kill(-r->command, SIGKILL);
			kill_children();
		}
		int status;
		pid_t child;
		while ((child = waitpid(-1, &status, WNOHANG)) > 0)
			note(r, child, status);
		if (child < 0 && errno == ECHILD)
			return;
		// Some still die, or were just adopted: wait for the next, not longer than it takes.
		struct pollfd woken = { .fd = r->signals, .events = POLLIN };
		if (poll(&woken, 1, 5) > 0) {
			struct signalfd_siginfo info;
			(void)!read(r->signals, &info, sizeof info);
		}
	}
}

static void reset_signals(void)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	for (int n = 1; n < NSIG; n++)
		sigaction(n, &action, NULL);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

// What the host says about one resource limit.
struct limit {
	uint64_t resource;
	uint64_t soft;
	uint64_t hard;
};

// A command is there, and the interpreter or loader that it names is not
// (containerizer.NoInterpreter).
#define NO_INTERPRETER 79

// is_text tells a script from what is another machine's program.
static int is_text(const char *path)
{
	char head[128];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
	close(fd);
	return n >= 0 && memchr(head, 0, (size_t)n) == NULL;
}

// execute_file returns only errno, or NO_INTERPRETER.
static int execute_file(const char *path, char **argv)
{
	execve(path, argv, environ);
	if (errno == ENOENT && access(path, F_OK) == 0)
		return NO_INTERPRETER;
	if (errno != ENOEXEC)
		return errno;
	if (!is_text(path))
		return ENOEXEC;
	// A script that does not say of which shell, as shells and execvp treat it.
	size_t count = 0;
	while (argv[count] != NULL)
		count++;
	char **script = calloc(count + 2, sizeof *script);
	if (script == NULL)
		return ENOMEM;
	script[0] = "/bin/sh";
	script[1] = (char *)path;
	memcpy(script + 2, argv + 1, count * sizeof *argv); // with the NULL at the end
	execve(script[0], script, environ);
	return errno;
}

// execute is execvp with the errors of execute_file.
static int execute(const char *file, char **argv)
{
	if (strchr(file, '/') != NULL)
		return execute_file(file, argv);
	const char *path = getenv("PATH");
	if (path == NULL)
		path = "/bin:/usr/bin";
	int result = ENOENT;
	for (;; path++) {
		char full[PATH_MAX];
		size_t length = strcspn(path, ":");
		int wants = snprintf(full, sizeof full, "%.*s%s%s", (int)length, path, length > 0 ? "/" : "", file);
		int error = wants < (int)sizeof full ? execute_file(full, argv) : ENAMETOOLONG;
		if (error == EACCES)
			result = error; // another directory may have one that may be executed
		else if (error != ENOENT && error != ENOTDIR)
			return error;
		path += length;
		if (*path == 0)
			return result;
	}
}

// become turns the forked child into the command. It returns only errno.
static int become(int control, const char *file, char **argv, char **envp, const struct limit *limits, uint32_t count)
{
	setsid();
	ioctl(0, TIOCSCTTY, 0); // if it is a terminal: that of the new session
	// If something kills the reaper itself, which its user can outside of a pid
	// namespace, at least the command does not outlive it.
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	tell(control, ABOUT_TO_EXECUTE, 0);
	reset_signals();
	environ = envp; // execute searches the PATH of the command's environment, not of the host's
	for (uint32_t i = 0; i < count; i++) {
		struct rlimit limit = { .rlim_cur = limits[i].soft, .rlim_max = limits[i].hard };
		if (setrlimit((int)limits[i].resource, &limit) < 0)
			return errno;
	}
	// Of a container, which can't gain privileges; plain processes have no limits that they could lift.
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && stoa_filter() < 0)
		return errno;
	return execute(file, argv);
}

// The cgroups to enter: descriptors of their files "tasks".
struct cgroups {
	int count;
	int tasks[MAX_CGROUPS];
};

// read_head reads the head of a launch and the descriptors that come with it.
static int read_head(int fd, void *to, size_t size, struct cgroups *cgroups)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof cgroups->tasks)];
	} rights;
	struct iovec part = { .iov_base = to, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1, .msg_control = &rights, .msg_controllen = sizeof rights,
	};
	ssize_t n;
	while ((n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return -1;
	cgroups->count = 0;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		size_t bytes = header->cmsg_len - CMSG_LEN(0);
		memcpy(cgroups->tasks, CMSG_DATA(header), bytes);
		cgroups->count = (int)(bytes / sizeof *cgroups->tasks);
	}
	return read_all(fd, (char *)to + n, size - (size_t)n);
}

// enter moves this process, of one thread, into the cgroups. It returns an errno.
static int enter(struct cgroups *cgroups)
{
	int error = 0;
	for (int i = 0; i < cgroups->count; i++) {
		if (error == 0 && write(cgroups->tasks[i], "0", 1) < 0)
			error = errno;
		close(cgroups->tasks[i]);
	}
	return error;
}

// launch reads argv and environment, enters the cgroups and forks the command. It
// returns the errno of its execve, or -1 when the host has gone, or has been told
// another error.
static int launch(struct reaper *r)
{
	uint32_t head[4]; // bytes of strings; numbers of arguments, of environment entries and of resource limits
	struct limit limits[MAX_LIMITS];
	struct cgroups cgroups;
	if (read_head(r->control, head, sizeof head, &cgroups) < 0)
		return -1;
	if (head[1] == 0) { // nothing to execute yet: the host asks whether this is the reaper by now
		tell(r->control, PRESENT, 0);
		if (read_head(r->control, head, sizeof head, &cgroups) < 0)
			return -1;
	}
	if (head[0] > MAX_LAUNCH_BYTES || head[1] == 0 || head[3] > MAX_LIMITS)
		return -1;
	char *strings = malloc(head[0] + 1);
	char **argv = calloc((size_t)head[1] + 1, sizeof *argv);
	char **envp = calloc((size_t)head[2] + 1, sizeof *envp);
	if (strings == NULL || argv == NULL || envp == NULL)
		return ENOMEM;
	if (read_all(r->control, strings, head[0]) < 0 || read_all(r->control, limits, head[3] * sizeof *limits) < 0)
		return -1;
	strings[head[0]] = 0;
	const char *file = strings; // the first string; those of argv and of the environment follow
	char *at = strings + strlen(strings) + 1, *end = strings + head[0];
	for (uint32_t i = 0; i < head[1] + head[2] && at < end; i++) {
		*(i < head[1] ? &argv[i] : &envp[i - head[1]]) = at;
		at += strlen(at) + 1;
	}
	if (argv[0] == NULL)
		return -1;
	int refused = enter(&cgroups);
	if (refused != 0) {
		tell(r->control, NOT_ENTERED, refused);
		return -1;
	}

	int failed[2];
	if (pipe2(failed, O_CLOEXEC) < 0)
		return errno;
	r->command = fork();
	if (r->command < 0) {
		r->command = 0;
		return errno;
	}
	if (r->command == 0) {
		int error = become(r->control, file, argv, envp, limits, head[3]);
		(void)!write(failed[1], &error, sizeof error);
		_exit(127);
	}
	close(failed[1]);
	int error = 0;
	ssize_t n;
	while ((n = read(failed[0], &error, sizeof error)) < 0 && errno == EINTR)
		;
	close(failed[0]);
	free(strings);
	free(argv);
	free(envp);
	return n == sizeof error ? error : 0;
}

// obey carries out one order. It returns -1 when the host has gone or wants an end.
static int obey(struct reaper *r)
{
	struct order order;
	if (read_all(r->control, &order, sizeof order) < 0 || order.kind == ORDER_KILL)
		return -1;
	// The pid is the command's own as long as nobody has waited for it.
	if (order.kind == ORDER_SIGNAL && r->command > 0)
		kill(r->command, order.value);
	return 0;
}

// handle takes what the signalfd has: it forwards signals and reaps.
static void handle(struct reaper *r)
{
	struct signalfd_siginfo info;
	if (read(r->signals, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo != SIGCHLD && r->command > 0)
		kill(r->command, (int)info.ssi_signo);
	int status;
	pid_t child;
	while ((child = waitpid(-1, &status, WNOHANG)) > 0)
		note(r, child, status);
}

#ifndef SYS_close_range
#define SYS_close_range 436 // on every architecture
#endif

// close_inherited closes what the host had open, or had inherited itself. The
// kernel has close_range since 5.9; before that, what is marked close-on-exec,
// as all of the host's own files are, is all that can be relied on.
static void close_inherited(int control)
{
	if (control > 3)
		syscall(SYS_close_range, 3u, (unsigned)control - 1, 0u);
	syscall(SYS_close_range, (unsigned)control + 1, ~0u, 0u);
}

static void close_streams(const struct reaper *r)
{
	// The streams belong to the command: held here, they would keep its readers waiting.
	for (int fd = 0; fd < 3; fd++)
		if (fd != r->control && fd != r->signals)
			close(fd);
}

// leave_terminal gives up the terminal of this session, if it has one, for the
// command's. Who loses it is sent SIGHUP, which is nothing to pass on.
static void leave_terminal(void)
{
	signal(SIGHUP, SIG_IGN);
	ioctl(0, TIOCNOTTY);
	signal(SIGHUP, SIG_DFL);
}

// drop_shield gives up the capability that kept others of the same user from
// tracing this process while it was dumpable.
static int drop_shield(void)
{
	const char *shield = getenv("_STOA_SHIELD");
	if (shield == NULL)
		return 0;
	unsigned number = (unsigned)atoi(shield);
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];
	if (number >= 32 * _LINUX_CAPABILITY_U32S_3 || prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0 ||
	    syscall(SYS_capget, &header, sets) < 0)
		return -1;
	struct __user_cap_data_struct *set = &sets[CAP_TO_INDEX(number)];
	set->effective &= ~CAP_TO_MASK(number);
	set->permitted &= ~CAP_TO_MASK(number);
	set->inheritable &= ~CAP_TO_MASK(number);
	return (int)syscall(SYS_capset, &header, sets);
}

static int run(struct reaper *r)
{
	leave_terminal();
	r->alone = getpid() == 1;
	prctl(PR_SET_DUMPABLE, 0);
	if (drop_shield() < 0) {
		tell(r->control, NOT_EXECUTED, errno);
		return 125;
	}
	prctl(PR_SET_NAME, "stoa-reaper");
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NANOSECONDS);
	if (!r->alone)
		prctl(PR_SET_CHILD_SUBREAPER, 1);
	fcntl(r->control, F_SETFD, FD_CLOEXEC);
	close_inherited(r->control);

	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	r->signals = signalfd(-1, &all, SFD_CLOEXEC);
	if (r->signals < 0) {
		tell(r->control, NOT_EXECUTED, errno);
		return 125;
	}

	int error = launch(r);
	close_streams(r);
	if (error != 0) {
		end_all(r);
		if (error > 0)
			tell(r->control, NOT_EXECUTED, error);
		return 125;
	}
	tell(r->control, EXECUTED, 0);

	while (r->command > 0) {
		struct pollfd ready[] = {
			{ .fd = r->control, .events = POLLIN },
			{ .fd = r->signals, .events = POLLIN },
		};
		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			break;
		if (ready[1].revents)
			handle(r);
		if (ready[0].revents && obey(r) < 0)
			break;
	}
	end_all(r);
	tell(r->control, ENDED, r->status);
	return WIFSIGNALED(r->status) ? 128 + WTERMSIG(r->status) : WEXITSTATUS(r->status);
}

void stoa_reaper(void)
{
	const char *control = getenv("_STOA_REAPER");
	if (control == NULL)
		return;
	struct reaper r = { .control = atoi(control) };
	_exit(run(&r));
}

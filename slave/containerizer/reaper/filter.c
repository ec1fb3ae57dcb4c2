//go:build linux && cgo

// The filter of a command's system calls: what the kernel has one of for all
// containers, or would take for a permission to change a container's limits.

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "filter.h"

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#ifndef SYS_clone3
#define SYS_clone3 435 // on every architecture
#endif

#define LOAD_AT(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define LOAD(field) LOAD_AT(offsetof(struct seccomp_data, field))
#define WHERE(test, value, yes, no) BPF_JUMP(BPF_JMP | BPF_##test | BPF_K, value, yes, no)
#define ANSWER(error) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define REFUSE(number, error) WHERE(JEQ, number, 0, 1), ANSWER(error)

// RULES judges the calls of one ABI, which are known by its numbers.
//
// Whoever owns a cgroup namespace may mount cgroups, and root may write there
// what it likes: its own limits, or that it is frozen and can't be killed. A user
// namespace makes anybody an owner. clone3 has its flags where no filter sees
// them; without it the C libraries use clone. Keyrings belong to a user of the
// machine, whichever container it is in.
#define RULES(clone, unshare, clone3, add_key, request_key, keyctl)            \
	LOAD(nr),                                                              \
	REFUSE(clone3, ENOSYS),                                                \
	REFUSE(add_key, ENOSYS),                                               \
	REFUSE(request_key, ENOSYS),                                           \
	REFUSE(keyctl, ENOSYS),                                                \
	WHERE(JEQ, clone, 1, 0),                                               \
	WHERE(JEQ, unshare, 0, 3),                                             \
	LOAD_AT(FLAGS),                                                        \
	WHERE(JSET, CLONE_NEWCGROUP, 0, 1),                                    \
	ANSWER(EPERM),                                                         \
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define RULES_LENGTH 15

// Where the first argument has its lower half.
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FLAGS (offsetof(struct seccomp_data, args[0]) + 4)
#else
#define FLAGS offsetof(struct seccomp_data, args[0])
#endif

// The ABI of 32 bits that the kernel may have beside its own.
#if defined(__x86_64__)
#define OTHER_ABI AUDIT_ARCH_I386
#define OTHER_RULES RULES(120, 310, 435, 286, 287, 288)
#elif defined(__aarch64__)
#define OTHER_ABI AUDIT_ARCH_ARM
#define OTHER_RULES RULES(120, 337, 435, 309, 310, 311)
#endif

int stoa_filter(void)
{
	struct sock_filter rules[] = {
#ifdef OTHER_ABI
		LOAD(arch),
		WHERE(JEQ, OTHER_ABI, 0, RULES_LENGTH),
		OTHER_RULES,
#endif
#ifdef __x86_64__
		LOAD(nr), // those of x32 are the kernel's own with a further bit
		WHERE(JGE, 0x40000000, 0, 1), ANSWER(ENOSYS),
#endif
		RULES(SYS_clone, SYS_unshare, SYS_clone3, SYS_add_key, SYS_request_key, SYS_keyctl),
	};
	struct sock_fprog program = { .len = sizeof rules / sizeof *rules, .filter = rules };
	// Without SPEC_ALLOW, older kernels slow down whatever has a filter.
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &program);
}

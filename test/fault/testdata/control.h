/*
 * The control file of a copy of module.c: <path of the copy>.control, mapped
 * by the tests and by every process that loaded the copy. control.go has the
 * same layout. Every number is a 64-bit atomic word, so that no process can
 * see, or when killed leave, half of one.
 */
#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t word;

enum {
	CONTROL_VERSION = 1,
	FUNCTIONS = 68, /* of PKCS#11 2.40, numbered as in pkcs11f.h */
	ENGINES = 64,
	RENAMES = 8,
	PROCESSES = 64,
	MESSAGES = 64,
	MESSAGE_SIZE = 256,
};

#define CONTROL_MAGIC UINT64_C(0x4641554c54503131)
#define FOREVER UINT64_MAX

struct function {
	word calls;                 /* counter */
	word rv, skip, count;       /* the fault: rv for count calls, or FOREVER, after skip good ones */
	word often_rv, per10000;    /* the fault that comes at random */
	word hang_ns, hang_calls;   /* so many calls, or FOREVER, wait so long, or FOREVER, or for release */
};

struct rename {
	word caller, below; /* mechanisms */
};

struct process { /* one that loaded the copy; its numbers are void once it ended */
	word pid;
	word epoch;    /* the boot its sessions are of */
	word sessions; /* open now */
	word hanging;  /* calls now */
};

struct message {
	word length;
	unsigned char start[MESSAGE_SIZE];
};

struct control {
	/* What it is, and the module below: set before anything loads the copy. */
	word magic, version, size;
	char over[1024];

	/* The device. */
	word latency_ns, jitter_ns; /* of a C_Sign */
	word engines;               /* C_Sign in work at once, over all processes; 0: no limit */
	word busy_until[ENGINES];   /* CLOCK_MONOTONIC, ns; the module's own */
	word session_cap;           /* for each process; 0: none */
	word session_cap_reported;  /* flag: C_GetTokenInfo says the cap */
	struct rename renames[RENAMES];

	/* What is wrong with it. */
	word dead;                  /* what everything answers; 0: alive */
	word reboots, reboot_rv;    /* how many so far; what older sessions answer */
	word stales, stale_rv;      /* the same for modules initialised earlier */
	word released;              /* grows when hanging calls are to go on */
	word corrupt_every, corrupt_seen; /* 0: none; signatures since it was set */
	word short_signatures;      /* flag */
	word quirks;                /* bits, see enum quirk in module.c */
	word random;                /* state */
	struct function functions[FUNCTIONS];

	/* What happened. */
	word logins, wrong_logins;  /* wrong: answered CKR_PIN_ something */
	word most_sessions;         /* one process had open */
	word signatures, corrupted;
	word shared_sessions;       /* calls with a session that another call was using */
	word early_finalises;       /* C_Finalize with calls in flight */
	word messages_given;        /* to C_Sign; the newest is messages[(messages_given - 1) % MESSAGES] */
	struct message messages[MESSAGES];
	struct process processes[PROCESSES];
};

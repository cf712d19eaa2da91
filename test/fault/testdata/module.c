/*
 * A PKCS#11 module that forwards to another one and misbehaves as its control
 * file says: see control.h, and doc.go for what a call goes through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "module.h"

#define CK_PKCS11_FUNCTION_INFO(name) our_##name,
static CK_FUNCTION_LIST ours = {{2, 40},
#include "pkcs11f.h"
};

CK_FUNCTION_LIST *real;
struct control *control;
static struct process *process; /* this one, in control */

/*
 * Held to read around each call of the module below, to write around what must
 * have it to itself. A waiting writer goes first.
 */
static pthread_rwlock_t below = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static word epoch, stale; /* control's reboots and stales, as followed so far; written under below */
static word initialised;  /* flag, under below */
static word in_flight;    /* calls, but for C_Initialize and C_Finalize */

struct session {
	CK_SESSION_HANDLE handle; /* 0: this place is free */
	CK_SLOT_ID slot;
	uint64_t epoch;
	int busy; /* a call uses it */
};

static struct session sessions[4096];
static size_t sessions_end; /* no place from here on was ever used */
static pthread_mutex_t table = PTHREAD_MUTEX_INITIALIZER; /* guards sessions and their number in process */

uint64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

void sleep_until(uint64_t end)
{
	struct timespec t = {(time_t)(end / 1000000000), (long)(end % 1000000000)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

/* dice gives a number below n; the same sequence in every test. */
uint64_t dice(uint64_t n)
{
	uint64_t z = (control->random += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % n;
}

/* take takes one of n if there is one. */
static int take(word *n)
{
	uint64_t have = *n;
	while (have != 0 && have != FOREVER)
		if (atomic_compare_exchange_weak(n, &have, have - 1))
			return 1;
	return have != 0;
}

static void hang(struct function *f)
{
	uint64_t released = control->released; /* before hang_calls is looked at, or a release could be missed */
	if (!take(&f->hang_calls))
		return;
	uint64_t time = f->hang_ns, end = time == FOREVER ? FOREVER : now() + time;
	process->hanging++;
	while (control->released == released && now() < end)
		sleep_until(now() + 1000000);
	process->hanging--;
}

CK_RV unfit(void)
{
	CK_RV dead = control->dead;
	if (dead != CKR_OK)
		return dead;
	return stale == control->stales ? CKR_OK : control->stale_rv;
}

static CK_RV fault(struct function *f)
{
	if (f->count != 0 && !take(&f->skip) && take(&f->count))
		return f->rv;
	return f->per10000 != 0 && dice(10000) < f->per10000 ? f->often_rv : CKR_OK;
}

/* find, reserve, forget and forget_slot are called with table held. */

static struct session *find(CK_SESSION_HANDLE handle)
{
	for (size_t i = 0; handle != 0 && i < sessions_end; i++)
		if (sessions[i].handle == handle)
			return &sessions[i];
	return NULL;
}

static struct session *reserve(CK_SLOT_ID slot)
{
	uint64_t cap = control->session_cap;
	size_t i = 0;
	while (i < sessions_end && sessions[i].handle != 0)
		i++;
	if (i == sizeof sessions / sizeof *sessions || (cap != 0 && process->sessions >= cap))
		return NULL;
	if (i == sessions_end)
		sessions_end++;
	sessions[i] = (struct session){CK_UNAVAILABLE_INFORMATION, slot, epoch, 0};
	process->sessions++;
	return &sessions[i];
}

static void forget(struct session *s)
{
	if (s == NULL || s->handle == 0)
		return;
	if (s->epoch == epoch)
		process->sessions--;
	s->handle = 0;
}

static int forget_slot(CK_SLOT_ID slot, int all)
{
	int busy = 0;
	for (size_t i = 0; i < sessions_end; i++)
		if (sessions[i].handle != 0 && (all || sessions[i].slot == slot)) {
			busy |= sessions[i].busy;
			forget(&sessions[i]);
		}
	return busy;
}

/* reboot has below to write. Old sessions stay in the table, to be told. */
static void reboot(void)
{
	pthread_mutex_lock(&table);
	for (size_t i = 0; i < sessions_end; i++)
		if (sessions[i].handle != 0 && sessions[i].epoch == epoch)
			real->C_CloseAllSessions(sessions[i].slot);
	process->sessions = 0;
	epoch = (uint64_t)control->reboots;
	process->epoch = (uint64_t)epoch;
	pthread_mutex_unlock(&table);
}

/* go_below takes below to read, after the reboots there were. */
static void go_below(void)
{
	pthread_rwlock_rdlock(&below);
	while (epoch != control->reboots) {
		pthread_rwlock_unlock(&below);
		pthread_rwlock_wrlock(&below);
		if (epoch != control->reboots)
			reboot();
		pthread_rwlock_unlock(&below);
		pthread_rwlock_rdlock(&below);
	}
}

static CK_RV occupy(struct call *c, CK_SESSION_HANDLE handle)
{
	CK_RV rv = CKR_OK;
	pthread_mutex_lock(&table);
	struct session *s = find(handle);
	if (s != NULL && s->busy) {
		control->shared_sessions++;
		rv = CKR_FUNCTION_FAILED;
	} else if (s != NULL) {
		s->busy = 1;
		c->session = s;
	}
	pthread_mutex_unlock(&table);
	return rv;
}

/* begin leads a call to the module below, or says what it is to answer instead. f may be NULL: nothing happens to it. */
CK_RV begin(struct call *c, struct function *f, CK_SESSION_HANDLE handle)
{
	*c = (struct call){NULL, 0, 0};
	in_flight++;
	if (f != NULL)
		f->calls++;
	CK_RV rv = occupy(c, handle);
	if (rv == CKR_OK && f != NULL)
		hang(f);
	if (rv == CKR_OK)
		rv = unfit();
	if (rv == CKR_OK && f != NULL)
		rv = fault(f);
	if (rv != CKR_OK)
		return rv;
	go_below();
	c->is_below = 1;
	c->epoch = epoch;
	return c->session != NULL && c->session->epoch != epoch ? control->reboot_rv : CKR_OK;
}

void come_up(struct call *c)
{
	if (c->is_below)
		pthread_rwlock_unlock(&below);
	c->is_below = 0;
}

CK_RV end(struct call *c, CK_RV rv)
{
	come_up(c);
	pthread_mutex_lock(&table);
	if (c->session != NULL)
		c->session->busy = 0;
	pthread_mutex_unlock(&table);
	in_flight--;
	return rv;
}

CK_RV our_C_Initialize(CK_VOID_PTR arguments)
{
	struct function *f = &control->functions[FN(C_Initialize)];
	f->calls++;
	hang(f);
	CK_RV rv = control->dead != CKR_OK ? control->dead : fault(f);
	if (rv != CKR_OK)
		return rv;
	pthread_rwlock_wrlock(&below);
	rv = real->C_Initialize(arguments);
	if (rv == CKR_OK || (rv == CKR_CRYPTOKI_ALREADY_INITIALIZED && !initialised)) {
		initialised = 1;
		stale = (uint64_t)control->stales;
		epoch = (uint64_t)control->reboots;
		process->epoch = (uint64_t)epoch;
	}
	pthread_rwlock_unlock(&below);
	return rv;
}

CK_RV our_C_Finalize(CK_VOID_PTR reserved)
{
	struct function *f = &control->functions[FN(C_Finalize)];
	f->calls++;
	if (in_flight != 0)
		control->early_finalises++;
	hang(f);
	CK_RV rv = fault(f);
	if (rv != CKR_OK)
		return rv;
	pthread_rwlock_wrlock(&below);
	rv = real->C_Finalize(reserved);
	if (rv == CKR_OK) {
		initialised = 0;
		pthread_mutex_lock(&table);
		forget_slot(0, 1);
		pthread_mutex_unlock(&table);
	}
	pthread_rwlock_unlock(&below);
	return rv;
}

CK_RV our_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR handle)
{
	BEGIN(C_OpenSession, 0);
	if (rv != CKR_OK)
		return end(&c, rv);
	pthread_mutex_lock(&table);
	struct session *s = reserve(slot);
	pthread_mutex_unlock(&table);
	rv = s == NULL ? CKR_SESSION_COUNT : real->C_OpenSession(slot, flags, app, notify, handle);
	pthread_mutex_lock(&table);
	if (rv == CKR_OK) {
		forget(find(*handle)); /* one of an earlier boot, whose number came again */
		s->handle = *handle;
		uint64_t most = control->most_sessions;
		while (process->sessions > most && !atomic_compare_exchange_weak(&control->most_sessions, &most, process->sessions))
			;
	} else {
		forget(s);
	}
	pthread_mutex_unlock(&table);
	return end(&c, rv);
}

CK_RV our_C_CloseSession(CK_SESSION_HANDLE handle)
{
	BEGIN(C_CloseSession, handle);
	int old = c.is_below && rv != CKR_OK;
	if (rv == CKR_OK)
		rv = real->C_CloseSession(handle);
	if (old || rv == CKR_OK || rv == CKR_SESSION_HANDLE_INVALID) {
		pthread_mutex_lock(&table);
		forget(c.session);
		c.session = NULL;
		pthread_mutex_unlock(&table);
	}
	return end(&c, rv);
}

CK_RV our_C_CloseAllSessions(CK_SLOT_ID slot)
{
	BEGIN(C_CloseAllSessions, 0);
	if (rv == CKR_OK)
		rv = real->C_CloseAllSessions(slot);
	if (rv == CKR_OK) {
		pthread_mutex_lock(&table);
		control->shared_sessions += (uint64_t)forget_slot(slot, 0);
		pthread_mutex_unlock(&table);
	}
	return end(&c, rv);
}

/* enrol gives this process, or the one it became by fork, its place in control. */
static void enrol(void)
{
	uint64_t pid = (uint64_t)getpid();
	for (struct process *p = control->processes; p < control->processes + PROCESSES; p++) {
		uint64_t was = p->pid;
		int gone = was == 0 || was == pid || (kill((pid_t)was, 0) != 0 && errno == ESRCH);
		if (!gone || !atomic_compare_exchange_strong(&p->pid, &was, pid))
			continue;
		p->sessions = p->hanging = 0;
		p->epoch = (uint64_t)control->reboots;
		process = p;
		return;
	}
	fprintf(stderr, "fault module: more than %d processes\n", PROCESSES);
	abort();
}

static struct control *map_control(const char *library)
{
	char path[4096];
	struct stat st;
	struct control *c = MAP_FAILED;
	snprintf(path, sizeof path, "%s.control", library);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size == sizeof *c)
		c = mmap(NULL, sizeof *c, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (c != MAP_FAILED && c->magic == CONTROL_MAGIC && c->version == CONTROL_VERSION && c->size == sizeof *c)
		return c;
	fprintf(stderr, "fault module: %s is not a control file of version %d and %zu bytes\n", path, CONTROL_VERSION, sizeof *c);
	return NULL;
}

static CK_RV load(void)
{
	Dl_info self;
	if (dladdr(&ours, &self) == 0 || (control = map_control(self.dli_fname)) == NULL)
		return CKR_GENERAL_ERROR;
	void *library = dlopen(control->over, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&real) != CKR_OK) {
		fprintf(stderr, "fault module: %s: %s\n", control->over, library == NULL ? dlerror() : "no function list");
		return CKR_GENERAL_ERROR;
	}
	ours.version = real->version;
	enrol();
	epoch = (uint64_t)control->reboots;
	stale = (uint64_t)control->stales;
	pthread_atfork(NULL, NULL, enrol);
	return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
	static int loaded;
	CK_RV rv = CKR_OK;
	pthread_mutex_lock(&loading);
	if (!loaded)
		rv = load();
	loaded = rv == CKR_OK;
	pthread_mutex_unlock(&loading);
	if (rv == CKR_OK)
		*list = &ours;
	return rv;
}

CK_RV our_C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	return C_GetFunctionList(list);
}

/*
 * driver MODULE SERIAL PIN uses a token from several threads, whatever the
 * module answers, until its standard input ends. Then the module must work.
 * It keeps PKCS#11's rules: one thread to a session, and C_Finalize alone.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11go.h"

#define CKM_EDDSA_ 0x1057
#define CKM_EC_EDWARDS_KEY_PAIR_GEN_ 0x1055

static CK_FUNCTION_LIST *p11;
static const char *serial;
static char *pin;

static pthread_rwlock_t running = PTHREAD_RWLOCK_INITIALIZER; /* written by who finalises */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;    /* SoftHSM makes keys safely one at a time */
static CK_SLOT_ID slot;                                       /* under running */
static _Atomic int stopped;
static _Atomic unsigned long good, bad;

static CK_RV check(CK_RV rv)
{
	if (rv == CKR_OK)
		good++;
	else
		bad++;
	return rv;
}

static CK_RV find_slot(void)
{
	CK_SLOT_ID slots[16];
	CK_ULONG n = 16;
	CK_RV rv = p11->C_GetSlotList(CK_TRUE, slots, &n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		CK_TOKEN_INFO info;
		rv = p11->C_GetTokenInfo(slots[i], &info);
		if (rv == CKR_OK && memcmp(info.serialNumber, serial, strlen(serial)) == 0) {
			slot = slots[i];
			return CKR_OK;
		}
	}
	return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

static CK_RV start(void)
{
	CK_C_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
	CK_RV rv = p11->C_Initialize(&arguments);
	return rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED ? find_slot() : rv;
}

static CK_RV find_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *key)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE t[] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &yes, sizeof yes}};
	CK_ULONG n = 0;
	CK_RV rv = p11->C_FindObjectsInit(s, t, 2);
	if (rv != CKR_OK)
		return rv;
	rv = p11->C_FindObjects(s, key, 1, &n);
	check(p11->C_FindObjectsFinal(s));
	return rv == CKR_OK && n == 0 ? CKR_KEY_HANDLE_INVALID : rv;
}

static CK_RV sign(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_BYTE message[300] = "message", signature[64];
	CK_ULONG n = sizeof signature;
	CK_MECHANISM m = {CKM_EDDSA_, NULL, 0};
	CK_RV rv = p11->C_SignInit(s, &m, key);
	return rv == CKR_OK ? p11->C_Sign(s, message, sizeof message, signature, &n) : rv;
}

static void read_key(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE key)
{
	CK_BYTE a[34], b[1], c[sizeof(CK_MECHANISM_TYPE)];
	CK_ATTRIBUTE t[] = {{CKA_EC_POINT, a, sizeof a}, {CKA_LOCAL, b, sizeof b}, {CKA_EC_PARAMS, NULL, 0}, {CKA_ALLOWED_MECHANISMS, c, sizeof c}};
	check(p11->C_GetAttributeValue(s, key, t, 4));
}

static void make_key(CK_SESSION_HANDLE s)
{
	CK_BYTE oid[] = {6, 3, 0x2b, 0x65, 0x70};
	CK_MECHANISM_TYPE allowed = CKM_EDDSA_;
	CK_BBOOL no = CK_FALSE, yes = CK_TRUE;
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, oid, sizeof oid}, {CKA_TOKEN, &no, sizeof no}};
	CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, sizeof yes}, {CKA_TOKEN, &no, sizeof no}, {CKA_ALLOWED_MECHANISMS, &allowed, sizeof allowed}};
	CK_MECHANISM m = {CKM_EC_EDWARDS_KEY_PAIR_GEN_, NULL, 0};
	CK_OBJECT_HANDLE keys[2];
	pthread_mutex_lock(&making);
	check(p11->C_GenerateKeyPair(s, &m, public, 2, private, 3, &keys[0], &keys[1]));
	pthread_mutex_unlock(&making);
}

/* use uses one session. It leaves some open, and some with an operation. */
static CK_RV use(int round, int must_work)
{
	CK_SESSION_HANDLE s;
	CK_OBJECT_HANDLE key;
	CK_RV rv = check(p11->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &s));
	if (rv != CKR_OK)
		return rv;
	rv = check(p11->C_Login(s, CKU_USER, (CK_UTF8CHAR_PTR)pin, strlen(pin)));
	if (rv == CKR_USER_ALREADY_LOGGED_IN)
		rv = CKR_OK;
	if (rv == CKR_OK)
		rv = check(find_key(s, &key));
	if (rv == CKR_OK)
		read_key(s, key);
	for (int i = 0; rv == CKR_OK && i < 3; i++)
		rv = check(sign(s, key));
	if (rv == CKR_OK && (must_work || round % 16 == 0))
		make_key(s);
	if (round % 8 != 0)
		check(p11->C_CloseSession(s));
	return rv;
}

static void *work(void *unused)
{
	for (int round = 0; !stopped; round++) {
		pthread_rwlock_rdlock(&running);
		CK_RV rv = use(round, 0);
		pthread_rwlock_unlock(&running);
		if (rv != CKR_OK)
			usleep(500);
		if (rv != CKR_DEVICE_ERROR && rv != CKR_CRYPTOKI_NOT_INITIALIZED && rv != CKR_HOST_MEMORY && rv != CKR_SESSION_COUNT)
			continue;
		pthread_rwlock_wrlock(&running);
		check(p11->C_Finalize(NULL));
		check(start());
		pthread_rwlock_unlock(&running);
	}
	return unused;
}

int main(int count, char **arguments)
{
	pthread_t threads[6];
	CK_C_GetFunctionList get;
	void *library = count == 4 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	if (library == NULL || (get = (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList")) == NULL || get(&p11) != CKR_OK)
		return 2;
	serial = arguments[2];
	pin = arguments[3];
	if (start() != CKR_OK)
		return 3;
	for (int i = 0; i < 6; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	while (getchar() != EOF)
		;
	stopped = 1;
	for (int i = 0; i < 6; i++)
		pthread_join(threads[i], NULL);
	check(p11->C_Finalize(NULL)); /* nobody may have managed to initialise it again */
	CK_RV rv = start();
	if (rv == CKR_OK)
		rv = use(1, 1);
	if (rv == CKR_OK)
		rv = p11->C_Finalize(NULL);
	printf("%lu good and %lu bad answers, at the end 0x%lx\n", good, bad, rv);
	return rv == CKR_OK ? 0 : 1;
}

/* What single functions do otherwise than to forward. */
#include <string.h>

#include "module.h"

CK_RV our_C_Login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n)
{
	BEGIN(C_Login, s);
	if (rv == CKR_OK)
		rv = real->C_Login(s, user, pin, n);
	if (rv == CKR_OK)
		control->logins++;
	if (rv >= CKR_PIN_INCORRECT && rv <= CKR_PIN_LOCKED)
		control->wrong_logins++;
	return end(&c, rv);
}

CK_RV our_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	BEGIN(C_GetTokenInfo, 0);
	if (rv == CKR_OK)
		rv = real->C_GetTokenInfo(slot, info);
	if (rv != CKR_OK)
		return end(&c, rv);
	uint64_t quirks = control->quirks;
	if (quirks & FINAL_TRY)
		info->flags |= CKF_USER_PIN_FINAL_TRY;
	if (quirks & COUNT_LOW)
		info->flags |= CKF_USER_PIN_COUNT_LOW;
	if (quirks & NO_USER_PIN)
		info->flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
	if (control->session_cap_reported)
		info->ulMaxSessionCount = info->ulMaxRwSessionCount = control->session_cap;
	return end(&c, rv);
}

/* renamed gives the other name of a mechanism, in either direction. */
static CK_MECHANISM_TYPE renamed(CK_MECHANISM_TYPE m)
{
	for (struct rename *r = control->renames; r < control->renames + RENAMES && r->caller != 0; r++) {
		if (m == r->caller)
			return r->below;
		if (m == r->below)
			return r->caller;
	}
	return m;
}

static CK_MECHANISM_PTR renamed_mechanism(CK_MECHANISM *copy, CK_MECHANISM_PTR m)
{
	if (m == NULL)
		return NULL;
	*copy = *m;
	copy->mechanism = renamed(m->mechanism);
	return copy;
}

static void rename_all(CK_MECHANISM_TYPE *list, CK_ULONG n)
{
	while (n-- > 0)
		list[n] = renamed(list[n]);
}

CK_RV our_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR list, CK_ULONG_PTR n)
{
	BEGIN(C_GetMechanismList, 0);
	if (rv == CKR_OK)
		rv = real->C_GetMechanismList(slot, list, n);
	if (rv == CKR_OK && list != NULL)
		rename_all(list, *n);
	return end(&c, rv);
}

struct template {
	CK_ATTRIBUTE attributes[32];
	CK_MECHANISM_TYPE allowed[32];
};

/* renamed_template is the template itself if it is longer than any there is. */
static CK_ATTRIBUTE_PTR renamed_template(struct template *copy, CK_ATTRIBUTE_PTR t, CK_ULONG n)
{
	if (n > 32)
		return t;
	for (CK_ULONG i = 0; i < n; i++) {
		CK_ATTRIBUTE *a = &copy->attributes[i];
		*a = t[i];
		if (a->type != CKA_ALLOWED_MECHANISMS || a->ulValueLen > sizeof copy->allowed)
			continue;
		a->pValue = memcpy(copy->allowed, a->pValue, a->ulValueLen);
		rename_all(copy->allowed, a->ulValueLen / sizeof *copy->allowed);
	}
	return copy->attributes;
}

CK_RV our_C_GenerateKeyPair(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR public, CK_ULONG publics,
	CK_ATTRIBUTE_PTR private, CK_ULONG privates, CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key)
{
	CK_MECHANISM mechanism;
	struct template a, b;
	BEGIN(C_GenerateKeyPair, s);
	if (rv == CKR_OK)
		rv = real->C_GenerateKeyPair(s, renamed_mechanism(&mechanism, m), renamed_template(&a, public, publics), publics,
			renamed_template(&b, private, privates), privates, public_key, private_key);
	return end(&c, rv);
}

static CK_OBJECT_CLASS class_of(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object)
{
	CK_OBJECT_CLASS class = CK_UNAVAILABLE_INFORMATION;
	CK_ATTRIBUTE a = {CKA_CLASS, &class, sizeof class};
	return real->C_GetAttributeValue(s, object, &a, 1) == CKR_OK ? class : CK_UNAVAILABLE_INFORMATION;
}

CK_RV our_C_FindObjects(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR n)
{
	CK_ULONG left = 0;
	BEGIN(C_FindObjects, s);
	while (rv == CKR_OK && left == 0) {
		rv = real->C_FindObjects(s, found, most, n);
		if (rv != CKR_OK || *n == 0 || !(control->quirks & NO_PUBLIC_OBJECT))
			break;
		for (CK_ULONG i = 0; i < *n; i++)
			if (class_of(s, found[i]) != CKO_PUBLIC_KEY)
				found[left++] = found[i];
		*n = left;
	}
	return end(&c, rv);
}

/* deliver answers a query for an attribute. */
static CK_RV deliver(CK_ATTRIBUTE_PTR a, const void *value, CK_ULONG n)
{
	CK_RV rv = a->pValue != NULL && a->ulValueLen < n ? CKR_BUFFER_TOO_SMALL : CKR_OK;
	if (a->pValue != NULL && rv == CKR_OK)
		memcpy(a->pValue, value, n);
	a->ulValueLen = rv == CKR_OK ? n : CK_UNAVAILABLE_INFORMATION;
	return rv;
}

static CK_RV refuse(CK_ATTRIBUTE_PTR a, CK_RV rv)
{
	a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
	return rv;
}

/* public_point reads CKA_EC_POINT of the public key that has a private key's CKA_ID, in a session of its own. */
static CK_RV public_point(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE private, CK_ATTRIBUTE_PTR point)
{
	CK_BYTE id[256];
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_ATTRIBUTE wanted[] = {{CKA_ID, id, sizeof id}, {CKA_CLASS, &class, sizeof class}};
	CK_SESSION_INFO info;
	CK_SESSION_HANDLE own;
	CK_OBJECT_HANDLE public;
	CK_ULONG found = 0;
	if (real->C_GetAttributeValue(s, private, wanted, 1) != CKR_OK || real->C_GetSessionInfo(s, &info) != CKR_OK ||
		real->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &own) != CKR_OK)
		return CKR_ATTRIBUTE_TYPE_INVALID;
	CK_RV rv = real->C_FindObjectsInit(own, wanted, 2);
	if (rv == CKR_OK)
		rv = real->C_FindObjects(own, &public, 1, &found);
	if (rv == CKR_OK)
		rv = found == 0 ? CKR_ATTRIBUTE_TYPE_INVALID : real->C_GetAttributeValue(own, public, point, 1);
	real->C_CloseSession(own);
	return rv;
}

static CK_RV point(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a)
{
	CK_BYTE value[256];
	CK_ATTRIBUTE whole = {CKA_EC_POINT, value, sizeof value};
	CK_RV rv = real->C_GetAttributeValue(s, object, &whole, 1);
	if (rv == CKR_ATTRIBUTE_TYPE_INVALID && control->quirks & POINT_ON_PRIVATE) {
		whole.ulValueLen = sizeof value;
		rv = public_point(s, object, &whole);
	}
	if (rv != CKR_OK)
		return refuse(a, rv);
	CK_ULONG header = control->quirks & RAW_POINT && whole.ulValueLen == 34 ? 2 : 0;
	return deliver(a, value + header, whole.ulValueLen - header);
}

static CK_RV params(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a)
{
	static const char oid[] = "\x06\x03\x2b\x65\x70", gnu[] = "\x06\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01",
		printable[] = "\x13\x0c" "edwards25519";
	CK_ATTRIBUTE has = {CKA_EC_PARAMS, NULL, 0};
	CK_RV rv = real->C_GetAttributeValue(s, object, &has, 1);
	if (rv != CKR_OK)
		return refuse(a, rv);
	if (control->quirks & PARAMS_OID)
		return deliver(a, oid, sizeof oid - 1);
	if (control->quirks & PARAMS_GNU)
		return deliver(a, gnu, sizeof gnu - 1);
	return deliver(a, printable, sizeof printable - 1);
}

/* allowed never asks for the size alone: p11-kit's client 0.24 cannot read the answer. */
static CK_RV allowed(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a)
{
	CK_MECHANISM_TYPE list[64];
	CK_ATTRIBUTE whole = {CKA_ALLOWED_MECHANISMS, list, sizeof list};
	CK_RV rv = real->C_GetAttributeValue(s, object, &whole, 1);
	if (rv != CKR_OK)
		return refuse(a, rv);
	rename_all(list, whole.ulValueLen / sizeof *list);
	if (control->quirks & ANY_MECHANISM && whole.ulValueLen > 0)
		list[0] = CKM_ECDSA;
	return deliver(a, list, whole.ulValueLen);
}

static CK_RV attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a)
{
	uint64_t quirks = control->quirks;
	if (a->type == CKA_LOCAL && quirks & LOCAL_UNREPORTED)
		return refuse(a, CKR_ATTRIBUTE_TYPE_INVALID);
	if (a->type == CKA_EC_POINT && quirks & (RAW_POINT | POINT_ON_PRIVATE))
		return point(s, object, a);
	if (a->type == CKA_EC_PARAMS && quirks & (PARAMS_OID | PARAMS_PRINTABLE | PARAMS_GNU))
		return params(s, object, a);
	if (a->type == CKA_ALLOWED_MECHANISMS)
		return allowed(s, object, a);
	CK_RV rv = real->C_GetAttributeValue(s, object, a, 1);
	if (rv != CKR_OK || a->pValue == NULL)
		return rv;
	if (a->type == CKA_LOCAL && quirks & NOT_LOCAL)
		*(CK_BBOOL *)a->pValue = CK_FALSE;
	if (a->type == CKA_EXTRACTABLE && quirks & EXTRACTABLE)
		*(CK_BBOOL *)a->pValue = CK_TRUE;
	if (a->type == CKA_KEY_GEN_MECHANISM)
		rename_all(a->pValue, a->ulValueLen / sizeof(CK_MECHANISM_TYPE));
	return rv;
}

CK_RV our_C_GetAttributeValue(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR t, CK_ULONG n)
{
	BEGIN(C_GetAttributeValue, s);
	if (rv == CKR_OK && control->quirks == 0 && control->renames[0].caller == 0)
		return end(&c, real->C_GetAttributeValue(s, object, t, n));
	CK_ULONG i = rv == CKR_OK ? 0 : n;
	for (; i < n; i++) {
		CK_RV one = attribute(s, object, &t[i]);
		if (one != CKR_OK)
			rv = one;
	}
	return end(&c, rv);
}

static void record(const void *message, CK_ULONG n)
{
	struct message *m = &control->messages[control->messages_given++ % MESSAGES];
	m->length = n;
	memcpy(m->start, message, n < MESSAGE_SIZE ? n : MESSAGE_SIZE);
}

/* occupy_engine says when the device will have made a signature that is asked for now. */
static uint64_t occupy_engine(void)
{
	uint64_t time = control->latency_ns + (control->jitter_ns == 0 ? 0 : dice(control->jitter_ns + 1));
	uint64_t engines = control->engines;
	while (engines != 0 && time != 0) {
		word *first = &control->busy_until[0];
		uint64_t free = *first, start = now();
		for (uint64_t i = 1; i < engines && i < ENGINES; i++) {
			uint64_t other = control->busy_until[i];
			if (other < free) {
				free = other;
				first = &control->busy_until[i];
			}
		}
		uint64_t done = (free > start ? free : start) + time;
		if (atomic_compare_exchange_weak(first, &free, done))
			return done;
	}
	return now() + time;
}

static void spoil(CK_BYTE_PTR signature, CK_ULONG_PTR n)
{
	uint64_t every = control->corrupt_every;
	control->signatures++;
	if (every != 0 && ++control->corrupt_seen % every == 0 && *n > 0) {
		signature[*n / 2] ^= 1;
		control->corrupted++;
	}
	if (control->short_signatures)
		*n -= *n > 63;
}

CK_RV our_C_Sign(CK_SESSION_HANDLE s, CK_BYTE_PTR data, CK_ULONG n, CK_BYTE_PTR signature, CK_ULONG_PTR size)
{
	struct call c;
	if (signature != NULL && data != NULL)
		record(data, n);
	CK_RV rv = begin(&c, signature == NULL ? NULL : &control->functions[FN(C_Sign)], s);
	if (rv == CKR_OK && signature == NULL)
		return end(&c, real->C_Sign(s, data, n, signature, size));
	if (rv != CKR_OK)
		return end(&c, rv);
	uint64_t done = occupy_engine();
	rv = real->C_Sign(s, data, n, signature, size);
	come_up(&c);
	sleep_until(done);
	CK_RV lost = unfit();
	if (lost == CKR_OK && c.epoch != control->reboots)
		lost = control->reboot_rv;
	if (lost == CKR_OK && rv == CKR_OK)
		spoil(signature, size);
	if (lost != CKR_OK && rv == CKR_OK)
		memset(signature, 0, *size);
	return end(&c, lost == CKR_OK ? rv : lost);
}

/* The rest only goes through begin and end. */
typedef CK_SESSION_HANDLE S;
typedef CK_OBJECT_HANDLE K;
typedef CK_MECHANISM_PTR M;
typedef CK_ATTRIBUTE_PTR T;
typedef CK_BYTE_PTR B;
typedef CK_ULONG N;
typedef CK_ULONG_PTR R;

#define FORWARD(name, session, parameters, arguments) \
	CK_RV our_##name parameters \
	{ \
		BEGIN(name, session); \
		if (rv == CKR_OK) \
			rv = real->name arguments; \
		return end(&c, rv); \
	}
#define BARE(name) FORWARD(name, s, (S s), (s))
#define DATA(name) FORWARD(name, s, (S s, B in, N n), (s, in, n))
#define RESULT(name) FORWARD(name, s, (S s, B out, R size), (s, out, size))
#define CONVERT(name) FORWARD(name, s, (S s, B in, N n, B out, R size), (s, in, n, out, size))
#define KEYED(name) FORWARD(name, s, (S s, M m, K key), (s, renamed_mechanism(&(CK_MECHANISM){0}, m), key))

FORWARD(C_GetInfo, 0, (CK_INFO_PTR info), (info))
FORWARD(C_GetSlotList, 0, (CK_BBOOL present, CK_SLOT_ID_PTR list, R n), (present, list, n))
FORWARD(C_GetSlotInfo, 0, (CK_SLOT_ID slot, CK_SLOT_INFO_PTR info), (slot, info))
FORWARD(C_GetMechanismInfo, 0, (CK_SLOT_ID slot, CK_MECHANISM_TYPE m, CK_MECHANISM_INFO_PTR info), (slot, renamed(m), info))
FORWARD(C_InitToken, 0, (CK_SLOT_ID slot, B pin, N n, B label), (slot, pin, n, label))
FORWARD(C_SetPIN, s, (S s, B old, N n, B pin, N pin_n), (s, old, n, pin, pin_n))
FORWARD(C_GetSessionInfo, s, (S s, CK_SESSION_INFO_PTR info), (s, info))
FORWARD(C_SetOperationState, s, (S s, B state, N n, K cipher, K mac), (s, state, n, cipher, mac))
FORWARD(C_CreateObject, s, (S s, T t, N n, K *made), (s, renamed_template(&(struct template){0}, t, n), n, made))
FORWARD(C_CopyObject, s, (S s, K object, T t, N n, K *made), (s, object, t, n, made))
FORWARD(C_DestroyObject, s, (S s, K object), (s, object))
FORWARD(C_GetObjectSize, s, (S s, K object, R size), (s, object, size))
FORWARD(C_SetAttributeValue, s, (S s, K object, T t, N n), (s, object, t, n))
FORWARD(C_FindObjectsInit, s, (S s, T t, N n), (s, t, n))
FORWARD(C_DigestInit, s, (S s, M m), (s, m))
FORWARD(C_DigestKey, s, (S s, K key), (s, key))
FORWARD(C_Verify, s, (S s, B in, N n, B signature, N size), (s, in, n, signature, size))
FORWARD(C_GenerateKey, s, (S s, M m, T t, N n, K *made), (s, m, t, n, made))
FORWARD(C_WrapKey, s, (S s, M m, K with, K key, B out, R size), (s, m, with, key, out, size))
FORWARD(C_UnwrapKey, s, (S s, M m, K with, B in, N n, T t, N count, K *made), (s, m, with, in, n, t, count, made))
FORWARD(C_DeriveKey, s, (S s, M m, K base, T t, N n, K *made), (s, m, base, t, n, made))

BARE(C_Logout) BARE(C_FindObjectsFinal) BARE(C_GetFunctionStatus) BARE(C_CancelFunction)
DATA(C_InitPIN) DATA(C_DigestUpdate) DATA(C_SignUpdate) DATA(C_VerifyUpdate) DATA(C_VerifyFinal)
DATA(C_SeedRandom) DATA(C_GenerateRandom)
RESULT(C_GetOperationState) RESULT(C_EncryptFinal) RESULT(C_DecryptFinal) RESULT(C_DigestFinal) RESULT(C_SignFinal)
CONVERT(C_Encrypt) CONVERT(C_EncryptUpdate) CONVERT(C_Decrypt) CONVERT(C_DecryptUpdate) CONVERT(C_Digest)
CONVERT(C_SignRecover) CONVERT(C_VerifyRecover) CONVERT(C_DigestEncryptUpdate) CONVERT(C_DecryptDigestUpdate)
CONVERT(C_SignEncryptUpdate) CONVERT(C_DecryptVerifyUpdate)
KEYED(C_EncryptInit) KEYED(C_DecryptInit) KEYED(C_SignInit) KEYED(C_SignRecoverInit) KEYED(C_VerifyInit) KEYED(C_VerifyRecoverInit)

/* It may wait for ever, so nothing is to wait for it. */
CK_RV our_C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved)
{
	CK_RV rv = unfit();
	return rv == CKR_OK ? real->C_WaitForSlotEvent(flags, slot, reserved) : rv;
}

/*
 * A PKCS#11 module in front of SoftHSM that misbehaves as the environment
 * variable HSM_FAULT says, and appends to the file HSM_CALLS what it is called
 * for. Tests build it; see faulty_test.go.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11go.h"

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST ours;

static int fault(const char *name)
{
	const char *wanted = getenv("HSM_FAULT");
	return wanted != NULL && strcmp(wanted, name) == 0;
}

static void record(const char *call, CK_BYTE_PTR data, CK_ULONG length)
{
	const char *path = getenv("HSM_CALLS");
	FILE *f = path == NULL ? NULL : fopen(path, "a");
	if (f == NULL)
		return;
	fputs(call, f);
	for (CK_ULONG i = 0; i < length; i++)
		fprintf(f, "%s%02x", i == 0 ? " " : "", data[i]);
	fputc('\n', f);
	fclose(f);
}

static CK_RV finalize(CK_VOID_PTR reserved)
{
	record("C_Finalize", NULL, 0);
	return real->C_Finalize(reserved);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info)
{
	CK_RV rv = real->C_GetTokenInfo(slot, info);
	if (fault("final-try"))
		info->flags |= CKF_USER_PIN_FINAL_TRY;
	if (fault("no-user-pin"))
		info->flags &= ~CKF_USER_PIN_INITIALIZED;
	return rv;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session)
{
	record("C_OpenSession", NULL, 0);
	if (fault("session-count"))
		return CKR_SESSION_COUNT;
	return real->C_OpenSession(slot, flags, app, notify, session);
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
	record("C_CloseSession", NULL, 0);
	return real->C_CloseSession(session);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
	record("C_Login", NULL, 0);
	if (fault("pin-locked"))
		return CKR_PIN_LOCKED;
	if (fault("pin-expired"))
		return CKR_PIN_EXPIRED;
	return real->C_Login(session, user, pin, length);
}

static CK_RV init_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG length)
{
	if (fault("init-pin"))
		return CKR_FUNCTION_FAILED;
	return real->C_InitPIN(session, pin, length);
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a, CK_ULONG n)
{
	if (n == 1 && a->type == CKA_LOCAL && fault("local-unreported"))
		return CKR_ATTRIBUTE_TYPE_INVALID;
	if (n == 1 && a->type == CKA_EC_POINT && fault("raw-point")) {
		CK_BYTE wrapped[34];
		CK_ATTRIBUTE point = {CKA_EC_POINT, wrapped, sizeof wrapped};
		CK_RV rv = real->C_GetAttributeValue(session, object, &point, 1);
		a->ulValueLen = 32;
		if (rv == CKR_OK && a->pValue != NULL)
			memcpy(a->pValue, wrapped + 2, 32);
		return rv;
	}
	CK_RV rv = real->C_GetAttributeValue(session, object, a, n);
	if (rv != CKR_OK || n != 1 || a->pValue == NULL)
		return rv;
	if (a->type == CKA_LOCAL && fault("not-local"))
		*(CK_BBOOL *)a->pValue = CK_FALSE;
	if (a->type == CKA_EXTRACTABLE && fault("extractable"))
		*(CK_BBOOL *)a->pValue = CK_TRUE;
	if (a->type == CKA_ALLOWED_MECHANISMS && fault("any-mechanism"))
		*(CK_MECHANISM_TYPE *)a->pValue = CKM_ECDSA;
	return rv;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature, CK_ULONG_PTR signature_length)
{
	if (signature == NULL) /* asked for the size */
		return real->C_Sign(session, data, length, signature, signature_length);
	record("C_Sign", data, length);
	if (fault("sign-fails")) /* leaves the operation active */
		return CKR_DEVICE_ERROR;
	CK_RV rv = real->C_Sign(session, data, length, signature, signature_length);
	if (fault("wrong-signature"))
		signature[40] ^= 1;
	if (fault("short-signature"))
		*signature_length = 63;
	return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	void *library = dlopen(SOFTHSM, RTLD_NOW);
	CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	ours = *real;
	ours.C_Finalize = finalize;
	ours.C_GetTokenInfo = token_info;
	ours.C_OpenSession = open_session;
	ours.C_CloseSession = close_session;
	ours.C_Login = login;
	ours.C_InitPIN = init_pin;
	ours.C_GetAttributeValue = get_attribute;
	ours.C_Sign = sign;
	*list = &ours;
	return CKR_OK;
}

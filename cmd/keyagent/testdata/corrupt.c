/*
 * SoftHSM with a fault that can be switched on while a process uses it: once
 * the file named by KEYAGENT_TEST_FAULT exists, signatures are wrong.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "pkcs11go.h"

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST ours;

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature, CK_ULONG_PTR size)
{
	const char *fault = getenv("KEYAGENT_TEST_FAULT");
	CK_RV rv = real->C_Sign(session, data, length, signature, size);
	if (rv == CKR_OK && signature != NULL && fault != NULL && access(fault, F_OK) == 0)
		signature[0] ^= 1;
	return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	CK_RV (*get)(CK_FUNCTION_LIST_PTR_PTR);
	void *module = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
	if (module == NULL)
		return CKR_GENERAL_ERROR;
	*(void **)&get = dlsym(module, "C_GetFunctionList");
	if (get == NULL || get(&real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	ours = *real;
	ours.C_Sign = sign;
	*list = &ours;
	return CKR_OK;
}

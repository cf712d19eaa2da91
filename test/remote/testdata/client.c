/*
 * p11-kit-client.so, except that it can be asked for the size of
 * CKA_ALLOWED_MECHANISMS. The client of p11-kit 0.24.1 cannot read the answer
 * to that question, and says CKR_DEVICE_ERROR.
 */
#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>

#include "pkcs11go.h"

static CK_FUNCTION_LIST_PTR client;
static CK_FUNCTION_LIST ours;

static CK_RV get_attribute_value(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR a, CK_ULONG n)
{
	if (n != 1 || a->type != CKA_ALLOWED_MECHANISMS || a->pValue != NULL)
		return client->C_GetAttributeValue(s, object, a, n);
	CK_MECHANISM_TYPE list[64];
	CK_ATTRIBUTE whole = {CKA_ALLOWED_MECHANISMS, list, sizeof list};
	CK_RV rv = client->C_GetAttributeValue(s, object, &whole, 1);
	a->ulValueLen = whole.ulValueLen;
	return rv;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list)
{
	void *library = dlopen(CLIENT, RTLD_NOW | RTLD_LOCAL);
	CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
	if (get == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		return CKR_GENERAL_ERROR;
	}
	CK_RV rv = get(&client);
	if (rv != CKR_OK)
		return rv;
	ours = *client;
	ours.C_GetAttributeValue = get_attribute_value;
	*list = &ours;
	return CKR_OK;
}

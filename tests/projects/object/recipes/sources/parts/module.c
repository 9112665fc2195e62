#include <Python.h>

static struct PyModuleDef parts = {PyModuleDef_HEAD_INIT, .m_name = "parts"};

PyMODINIT_FUNC PyInit_parts(void)
{
	return PyModule_Create(&parts);
}

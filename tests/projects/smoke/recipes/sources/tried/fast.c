#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <omp.h>

static PyObject *count(PyObject *self, PyObject *none) {
    return PyLong_FromLong(omp_get_max_threads());
}

static PyMethodDef methods[] = {{"count", count, METH_NOARGS, "Threads."}, {NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_fast", NULL, -1, methods};

PyMODINIT_FUNC PyInit__fast(void) { return PyModule_Create(&module); }

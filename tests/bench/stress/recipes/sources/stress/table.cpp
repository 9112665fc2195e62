// A table that the compiler computes: the larger, the more memory it takes for it.
#include <Python.h>

template <int N> struct Table {
  long value[N];
  constexpr Table() : value() {
    for (int i = 0; i < N; i++)
      value[i] = (i * 2654435761L) % 1000003;
  }
};
constexpr Table<SIZE> table;

#define NAME2(unit) sum##unit
#define NAME(unit) NAME2(unit)
long NAME(UNIT)(int x) {
  constexpr long sum = table.value[SIZE / 2] + table.value[SIZE - 1];
  return sum + x;
}

#if UNIT == 0
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "stress", nullptr, -1, nullptr};
PyMODINIT_FUNC PyInit_stress() { return PyModule_Create(&module); }
#endif

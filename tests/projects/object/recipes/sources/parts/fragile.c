#if defined SECOND && defined FOURTH
#error "these two do not go together"
#endif
int fragile(void) { return 1; }

// stoa_filter installs the filter in the calling thread, which must have
// no_new_privs. It returns -1 and sets errno if the kernel refuses.
int stoa_filter(void);

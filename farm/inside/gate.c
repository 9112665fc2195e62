/*
 * The gate: stands in the place of a compiler, waits until cores and memory allow one more
 * call, runs the real one, and writes down what that took.
 *
 * It lies where the compiler lay, which is beside it as <name>.real.  All gates of all
 * containers of an engine share one folder, FARM_POOL:
 *
 *     doors/<n>       whoever is next of priority n holds its lock while it waits; the kernel's
 *                     queue is fair
 *     heads/<n>       locked by each of those; the highest priority that stands there goes first
 *     aside           held by a call that lacks memory and lets smaller ones pass for a while
 *     bell            written to when a slot is free again
 *     scan            held for the moment in which slots are counted and one is taken
 *     slots/<n>       locked by a running call, which has written there what it needs
 *     relief          held by the one call that gives way where all outgrow the budget
 *     learned/<hash>  bytes that a call of this compiler on this file, or of its kind, needs
 *
 * Locks are flock(2)'s: they belong to the open file, which the compiler and all that it
 * starts inherit, so the kernel frees a slot when the last of them is gone, however they end.
 *
 * From the environment: FARM_POOL; FARM_CORES and FARM_MEMORY_BYTES (what all calls may take
 * together); FARM_CALL_BYTES (what the first call of a kind is taken to need); FARM_PACKAGE;
 * FARM_PRIORITY (a number: the higher goes first, as what has longest to go should);
 * FARM_CALLS (the file that gets a line for each call); FARM_CACHE and FARM_CACHED (the program
 * that keeps what was compiled, and the compilers, by path, that it has proved itself for).
 * Without FARM_POOL, inside of another call, and for calls that compile nothing (--version,
 * -E, -M, standard input), the real compiler takes the gate's place at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HELD "FARM_GATE_HELD"
#define MISSED "FARM_CACHE_MISSED"
#define CACHE_BROKEN 254 /* how sccache ends where what it has cannot be read */
#define MOST_SLOTS 4096
#define WAIT_LEAST_MS 2
#define WAIT_MOST_MS 100
#define SAMPLE_MS 100
#define MOST_DEPTH 32 /* of a tree of processes */
#define MOST_RESPONSE (4 << 20)
#define MARGIN_BYTES (256ull << 20) /* of the machine's memory that stays free */
#define FIRST_GUESS_BYTES (512ull << 20)
#define LEAST_TELLING_S 0.1
#define LAST (UINT64_MAX - 1) /* the priority that no other exceeds */
#define ASIDE_S 20.0 /* how long smaller calls may pass one that lacks memory */

/* What a slot's file holds while its lock is held. */
struct need {
	uint64_t predicted, current; /* bytes */
	uint64_t began;		     /* milliseconds since 1970 */
};

struct call {
	const char *kind; /* "compile", "link" */
	char source[PATH_MAX];
	char output[PATH_MAX]; /* empty: not said */
	uint64_t file, like; /* hashes of this compiler on this file, and on any of its kind */
};

struct slot {
	int file; /* -1: none */
	long number;
	struct need need;
};

struct pool {
	int folder;
	long cores;
	uint64_t memory;
};

struct usage {
	double wall_s, cpu_s;
	uint64_t peak;
	int status;
	bool oom; /* memory ran out: the kernel ended it, or it gave way */
};

static volatile sig_atomic_t child_pid;

static double now_s(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_ms(long ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000};
	nanosleep(&t, NULL);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	char *end;
	if (!text || !*text)
		return otherwise;
	errno = 0;
	uint64_t value = strtoull(text, &end, 10);
	return errno || *end || !value ? otherwise : value;
}

/* ---- what is called ------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool ends_in(const char *text, const char *const *suffixes)
{
	const char *dot = strrchr(base_name(text), '.');
	if (!dot)
		return false;
	for (; *suffixes; suffixes++)
		if (!strcmp(dot, *suffixes))
			return true;
	return false;
}

static const char *const SOURCES[] = {".c",   ".cc",  ".cpp", ".cxx", ".C",  ".c++", ".cu", ".hip",
				      ".cuh", ".m",   ".mm",  ".s",   ".S",  ".f",   ".F",  ".f90",
				      ".F90", ".rs",  ".ptx", ".ii",  ".i",  ".bc",  ".ll", NULL};
static const char *const OBJECTS[] = {".o", ".a", ".so", ".obj", ".lo", ".rlib", NULL};

/* Ask, print or preprocess: what takes no time and no memory to speak of. */
static bool only_asks(const char *word)
{
	static const char *const WORDS[] = {"-E",	"-M",	     "-MM",	   "--version", "-V",
					    "--help",	"-###",	     "-dumpversion", "-dumpmachine",
					    "-dumpspecs", "-dumpfullversion", "-", "--dryrun",
					    "-dryrun",	"-vV",	     "--print",	   "-fsyntax-only", NULL};
	for (const char *const *each = WORDS; *each; each++)
		if (!strcmp(word, *each))
			return true;
	return !strncmp(word, "-print-", 7) || !strncmp(word, "--print", 7) ||
	       !strncmp(word, "--help=", 7);
}

/* Options whose value is the next word, which is no input then. */
static bool takes_next(const char *word)
{
	static const char *const WORDS[] = {
		"-o",  "-x",	   "-include", "-imacros", "-isystem", "-idirafter", "-iquote", "-MF",
		"-MT", "-MQ",	   "-I",       "-D",	   "-U",       "-L",	     "-l",	"-arch",
		"-T",  "-Xlinker", "-Xcompiler", "-Xclang", "-ccbin", "-gencode", "--param", "-u",
		"-z",  "-Xptxas", "-Xfatbin", "-Xcudafe", "-mllvm", "--crate-name", "--cfg", NULL};
	for (const char *const *each = WORDS; *each; each++)
		if (!strcmp(word, *each))
			return true;
	return false;
}

struct seen {
	bool asks, compiles;
	const char *output, *source, *object, *skipped;
};

static void see_words(struct seen *seen, char *const *words, int depth);

/* A file of arguments (@file): blanks separate, quotes and backslashes as gcc reads them. */
static void see_response(struct seen *seen, const char *path, int depth)
{
	FILE *file = depth < 3 ? fopen(path, "re") : NULL;
	if (!file)
		return;
	char *text = malloc(MOST_RESPONSE + 1);
	size_t size = text ? fread(text, 1, MOST_RESPONSE, file) : 0;
	fclose(file);
	char **words = text ? calloc(size / 2 + 2, sizeof *words) : NULL;
	if (!words)
		return;
	size_t count = 0, from = 0, to = 0;
	char quote = 0;
	bool inside = false;
	text[size] = 0;
	for (; from < size; from++) { /* the words are written over the text, which they never outgrow */
		char c = text[from];
		bool blank = !quote && strchr(" \t\r\n\f\v", c);
		if (blank && inside) {
			text[to++] = 0;
			inside = false;
		}
		if (blank)
			continue;
		if (!inside) {
			words[count++] = text + to;
			inside = true;
		}
		if (quote ? c == quote : c == '\'' || c == '"')
			quote = quote ? 0 : c;
		else
			text[to++] = c == '\\' && quote != '\'' && from + 1 < size ? text[++from] : c;
	}
	text[to] = 0;
	see_words(seen, words, depth + 1); /* neither is freed: what is seen points into them */
}

static void see_words(struct seen *seen, char *const *words, int depth)
{
	for (; *words; words++) {
		const char *word = *words;
		if (seen->skipped) {
			if (!strcmp(seen->skipped, "-o"))
				seen->output = word;
			seen->skipped = NULL;
		} else if (word[0] == '@') {
			see_response(seen, word + 1, depth);
		} else if (only_asks(word)) {
			seen->asks = true;
		} else if (takes_next(word)) {
			seen->skipped = word;
		} else if (word[0] == '-') {
			seen->compiles |= !strcmp(word, "-c") || !strcmp(word, "-S") || !strcmp(word, "-dc") ||
					  !strcmp(word, "-ptx") || !strcmp(word, "-cubin") ||
					  !strcmp(word, "-fatbin") || !strcmp(word, "--compile") ||
					  !strcmp(word, "-dw") || !strcmp(word, "--device-c");
		} else if (!seen->source && ends_in(word, SOURCES)) {
			seen->source = word;
		} else if (ends_in(word, OBJECTS)) {
			seen->object = word;
		}
	}
}

static uint64_t hashed(uint64_t hash, const char *text)
{
	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3ull; /* FNV-1a */
	return (hash ^ 0xff) * 0x100000001b3ull;
}

/* A path without the random name of a temporary folder: /tmp/x7f3/build is /tmp/build. */
static const char *lasting(char *path)
{
	char *name = strncmp(path, "/tmp/", 5) ? NULL : strchr(path + 5, '/');
	if (name)
		memmove(path + 4, name, strlen(name) + 1);
	return path;
}

/* What a call is; false if there is nothing to wait for. */
static bool understood(const char *compiler, char *const *words, struct call *call)
{
	struct seen seen = {0};
	see_words(&seen, words, 0);
	if (seen.asks || (!seen.source && !seen.object))
		return false;
	bool links = !seen.compiles && seen.object;
	const char *named = links ? seen.output : seen.source;
	call->kind = links ? "link" : "compile";
	snprintf(call->source, sizeof call->source, "%s", named ? named : seen.source ? seen.source : "a.out");
	snprintf(call->output, sizeof call->output, "%s", seen.output ? seen.output : "");
	char folder[PATH_MAX] = "", source[PATH_MAX], output[PATH_MAX];
	if (call->source[0] != '/' && !getcwd(folder, sizeof folder))
		folder[0] = 0;
	memcpy(source, call->source, sizeof source);
	snprintf(output, sizeof output, "%s", seen.output ? seen.output : "");
	const char *package = getenv("FARM_PACKAGE");
	call->like = hashed(0xcbf29ce484222325ull, package ? package : "");
	call->like = hashed(hashed(call->like, base_name(compiler)), call->kind);
	call->file = hashed(hashed(call->like, lasting(folder)), lasting(source));
	call->file = hashed(call->file, lasting(output)); /* one source, compiled for two targets */
	return true;
}

/* ---- what is learned ------------------------------------------------------------------ */

static uint64_t read_number(int folder, const char *name)
{
	char text[32] = {0};
	int file = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return 0;
	ssize_t size = read(file, text, sizeof text - 1);
	close(file);
	return size > 0 ? strtoull(text, NULL, 10) : 0;
}

static void write_number(int folder, const char *name, uint64_t value)
{
	char temporary[64], text[32];
	snprintf(temporary, sizeof temporary, "learned/.%ld", (long)getpid());
	int size = snprintf(text, sizeof text, "%llu\n", (unsigned long long)value);
	int file = openat(folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file < 0)
		return;
	bool whole = write(file, text, size) == size;
	close(file);
	if (!whole || renameat(folder, temporary, folder, name))
		unlinkat(folder, temporary, 0);
}

static void learned_name(char *name, size_t size, uint64_t hash)
{
	snprintf(name, size, "learned/%016llx", (unsigned long long)hash);
}

static uint64_t known_bytes(const struct pool *pool, uint64_t hash)
{
	char name[40];
	learned_name(name, sizeof name, hash);
	return read_number(pool->folder, name);
}

static uint64_t first_guess(void)
{
	return number("FARM_CALL_BYTES", FIRST_GUESS_BYTES);
}

/* From calls on the same file, else on others of its kind, else from the recipe. */
static uint64_t predicted(const struct pool *pool, const struct call *call)
{
	uint64_t file = known_bytes(pool, call->file);
	if (file)
		return file + file / 10;
	uint64_t like = known_bytes(pool, call->like);
	return like ? like + like / 4 : first_guess();
}

/* Up by a part of the difference, or down by another. */
static void follow(const struct pool *pool, uint64_t hash, uint64_t from, uint64_t peak, int up, int down)
{
	char name[40];
	learned_name(name, sizeof name, hash);
	uint64_t value = peak > from ? from + (peak - from) / up : from - (from - peak) / down;
	if (value != known_bytes(pool, hash))
		write_number(pool->folder, name, value);
}

static void learn(const struct pool *pool, const struct call *call, const struct usage *used)
{
	uint64_t file = known_bytes(pool, call->file), like = known_bytes(pool, call->like);
	/* What a file needed once it may need again. */
	follow(pool, call->file, file ? file : used->peak, used->peak, 1, 4);
	/* Steps of 1/2 up and 1/16 down rest where one call in nine needs more.  Of what configuring
	 * tries out, nothing is learned about the files that come after it. */
	if (used->wall_s >= LEAST_TELLING_S)
		follow(pool, call->like, like ? like : first_guess(), used->peak, 2, 16);
}

/* ---- the pool -------------------------------------------------------------------------- */

static bool open_pool(struct pool *pool)
{
	const char *path = getenv("FARM_POOL");
	if (!path || !*path || getenv(HELD))
		return false;
	pool->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pool->folder < 0)
		return false;
	static const char *const FOLDERS[] = {"slots", "learned", "doors", "heads", NULL};
	for (const char *const *name = FOLDERS; *name; name++)
		mkdirat(pool->folder, *name, 0755);
	pool->cores = (long)number("FARM_CORES", sysconf(_SC_NPROCESSORS_ONLN));
	if (pool->cores > MOST_SLOTS)
		pool->cores = MOST_SLOTS;
	pool->memory = number("FARM_MEMORY_BYTES", UINT64_MAX / 4);
	return true;
}

static uint64_t memory_available(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *file = fopen("/proc/meminfo", "re");
	if (!file)
		return UINT64_MAX / 4;
	while (fgets(line, sizeof line, file))
		if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
			break;
	fclose(file);
	return kib ? kib * 1024 : UINT64_MAX / 4;
}

static int lock_file(const struct pool *pool, const char *name)
{
	return openat(pool->folder, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
}

static void lock(int file)
{
	while (flock(file, LOCK_EX) && errno == EINTR)
		;
}

/* What all calls that run take now. */
struct load {
	long running;
	uint64_t taken;	  /* bytes: of each what was predicted, or what it takes if that is more */
	uint64_t growing; /* bytes that they may still take */
	uint64_t current; /* bytes that they take */
	uint64_t youngest; /* when the last of those began that outgrew what was predicted */
};

/* Look at every slot but one; if asked, keep the first free one, locked. */
static struct load look(const struct pool *pool, long but, struct slot *free_slot)
{
	struct load load = {0};
	for (long n = 0; n < MOST_SLOTS; n++) {
		char name[32];
		struct stat facts;
		snprintf(name, sizeof name, "slots/%ld", n);
		if (n == but)
			continue;
		int file = lock_file(pool, name);
		if (file < 0)
			break;
		if (!flock(file, LOCK_EX | LOCK_NB)) {
			bool is_new = fstat(file, &facts) || facts.st_size == 0;
			if (free_slot && free_slot->file < 0)
				*free_slot = (struct slot){.file = file, .number = n};
			else
				close(file);
			if (is_new) /* nobody ever used one behind it */
				break;
			continue;
		}
		struct need other;
		if (pread(file, &other, sizeof other, 0) != sizeof other)
			other = (struct need){0};
		close(file);
		uint64_t more = other.predicted > other.current ? other.predicted - other.current : 0;
		load.running++;
		load.taken += other.current + more;
		load.growing += more;
		load.current += other.current;
		if (!more && other.began > load.youngest)
			load.youngest = other.began;
	}
	return load;
}

enum verdict { TAKEN, NO_CORE, NO_MEMORY };

/* Take a free slot if cores and memory allow this call besides those that run. */
static enum verdict try_slot(const struct pool *pool, uint64_t need, struct slot *slot)
{
	*slot = (struct slot){.file = -1};
	int scan = lock_file(pool, "scan");
	if (scan < 0)
		return TAKEN; /* no folder to share: as without a gate */
	lock(scan);
	struct load load = look(pool, -1, slot);
	bool core = load.running < pool->cores;
	bool memory = load.taken + need <= pool->memory &&
		      load.growing + need + MARGIN_BYTES <= memory_available();
	/* The only one always may: nothing would end that it could wait for. */
	enum verdict verdict = !load.running ? TAKEN : !core ? NO_CORE : memory ? TAKEN : NO_MEMORY;
	if (verdict == TAKEN && slot->file >= 0) {
		slot->need = (struct need){.predicted = need, .began = (uint64_t)(now_s() * 1000)};
		if (pwrite(slot->file, &slot->need, sizeof slot->need, 0) < 0)
			fprintf(stderr, "farm: what this call needs could not be written: %s\n", strerror(errno));
	} else if (slot->file >= 0) {
		close(slot->file);
		slot->file = -1;
	}
	close(scan);
	return verdict;
}

/* Stand in the row of those who are next, each with a priority; -1 if there is no such row. */
static int stand(const struct pool *pool, uint64_t priority)
{
	for (long n = 0; n < MOST_SLOTS; n++) {
		char name[32];
		snprintf(name, sizeof name, "heads/%ld", n);
		int file = lock_file(pool, name);
		if (file < 0)
			return -1;
		if (!flock(file, LOCK_EX | LOCK_NB)) {
			(void)!pwrite(file, &priority, sizeof priority, 0);
			return file;
		}
		close(file);
	}
	return -1;
}

/* Whether somebody stands there whose priority is higher. */
static bool somebody_first(const struct pool *pool, uint64_t priority)
{
	for (long n = 0; n < MOST_SLOTS; n++) {
		char name[32];
		uint64_t other = 0;
		snprintf(name, sizeof name, "heads/%ld", n);
		int file = openat(pool->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (file < 0)
			break;
		bool is_there = flock(file, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
		if (pread(file, &other, sizeof other, 0) != sizeof other)
			is_there = false;
		close(file);
		if (is_there && other > priority)
			return true;
	}
	return false;
}

/* Wait until a slot is given back, or for a while: of a killed call nobody rings. */
static void wait_for_bell(int bell, long ms)
{
	char events[512];
	struct pollfd ready = {.fd = bell, .events = POLLIN};
	if (bell < 0)
		sleep_ms(ms);
	else if (poll(&ready, 1, (int)ms) > 0)
		(void)!read(bell, events, sizeof events);
}

static void ring(const struct pool *pool)
{
	int bell = openat(pool->folder, "bell", O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (bell < 0)
		return;
	(void)!pwrite(bell, "!", 1, 0);
	close(bell);
}

static int hear(const struct pool *pool)
{
	char path[PATH_MAX];
	int bell = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	close(lock_file(pool, "bell")); /* only what is there can be watched */
	snprintf(path, sizeof path, "%s/bell", getenv("FARM_POOL"));
	if (bell >= 0)
		inotify_add_watch(bell, path, IN_MODIFY);
	return bell;
}

/* How long to wait: until some time, and whether at most until memory alone is lacking. */
struct patience {
	uint64_t priority;
	bool only_cores;
	double until;
	int bell;
};

static bool wait_for_slot(const struct pool *pool, uint64_t need, struct slot *slot, struct patience how)
{
	long wait = WAIT_LEAST_MS;
	for (;;) {
		enum verdict verdict = NO_CORE;
		if (!somebody_first(pool, how.priority))
			verdict = try_slot(pool, need, slot);
		if (verdict == TAKEN)
			return true;
		if ((how.only_cores && verdict == NO_MEMORY) || now_s() > how.until)
			return false;
		wait_for_bell(how.bell, wait);
		wait = wait * 2 < WAIT_MOST_MS ? wait * 2 : WAIT_MOST_MS;
	}
}

/*
 * Wait for a slot.  Calls of one priority wait at its door, behind each other; of the first at
 * each door the highest priority goes first.  Who lacks memory while there are cores steps aside,
 * so that smaller calls keep these busy; after a while nobody passes until enough has ended.
 */
static struct slot take_slot(const struct pool *pool, uint64_t need)
{
	char name[32];
	struct slot slot = {.file = -1};
	uint64_t priority = number("FARM_PRIORITY", 1) % LAST;
	snprintf(name, sizeof name, "doors/%llu", (unsigned long long)priority);
	int door = lock_file(pool, name), aside = lock_file(pool, "aside"), bell = -1, head = -1;
	if (door < 0 || aside < 0)
		return slot;
	lock(door);
	if (somebody_first(pool, priority) || try_slot(pool, need, &slot) != TAKEN) {
		struct patience how = {priority, true, HUGE_VAL, bell = hear(pool)};
		head = stand(pool, priority);
		if (!wait_for_slot(pool, need, &slot, how)) {
			close(head);
			flock(door, LOCK_UN);
			lock(aside);
			how = (struct patience){LAST, false, now_s() + ASIDE_S, bell};
			head = -1;
			if (!wait_for_slot(pool, need, &slot, how)) {
				head = stand(pool, LAST);
				how.until = HUGE_VAL;
				wait_for_slot(pool, need, &slot, how);
			}
		}
	}
	close(head);
	close(bell);
	close(door);
	close(aside);
	return slot;
}

/* ---- running --------------------------------------------------------------------------- */

static long oom_kills(void)
{
	static const char *const FILES[] = {"/sys/fs/cgroup/memory.events",
					    "/sys/fs/cgroup/memory/memory.oom_control", NULL};
	char line[128];
	long kills = 0;
	for (const char *const *name = FILES; *name; name++) {
		FILE *file = fopen(*name, "re");
		if (!file)
			continue;
		while (fgets(line, sizeof line, file))
			if (sscanf(line, "oom_kill %ld", &kills) == 1)
				break;
		fclose(file);
		return kills;
	}
	return 0;
}

static uint64_t resident(long pid)
{
	char name[64];
	unsigned long long all, pages = 0;
	snprintf(name, sizeof name, "/proc/%ld/statm", pid);
	FILE *file = fopen(name, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &all, &pages) != 2)
		pages = 0;
	fclose(file);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* The children of a process (/proc/PID/task/TID/children, proc(5)), up to a number. */
static int children_of(long pid, long *children, int most)
{
	char name[64];
	int count = 0;
	snprintf(name, sizeof name, "/proc/%ld/task/%ld/children", pid, pid);
	FILE *file = fopen(name, "re");
	while (file && count < most && fscanf(file, "%ld", children + count) == 1)
		count++;
	if (file)
		fclose(file);
	return count;
}

/* Resident memory of a process and all below it. */
static uint64_t resident_tree(long pid, int depth)
{
	long children[64];
	int count = depth < MOST_DEPTH ? children_of(pid, children, 64) : 0;
	uint64_t sum = resident(pid);
	while (count)
		sum += resident_tree(children[--count], depth + 1);
	return sum;
}

/* From the top, so that none is replaced by its parent. */
static void kill_tree(long pid, int depth)
{
	long children[64];
	int count = depth < MOST_DEPTH ? children_of(pid, children, 64) : 0;
	kill((pid_t)pid, SIGKILL);
	while (count)
		kill_tree(children[--count], depth + 1);
}

static void pass_on(int signal_number)
{
	if (child_pid > 0)
		kill((pid_t)child_pid, signal_number);
}

/*
 * Whether this call is to end and to start over: all together outgrew the budget, or the machine,
 * and of those that outgrew what was predicted of them it began last, so that least is lost.
 * One at a time, hence the lock, which is held till it is gone.
 */
static bool must_give_way(const struct pool *pool, const struct slot *slot, int *relief)
{
	if (slot->file < 0 || slot->need.current <= slot->need.predicted)
		return false;
	*relief = lock_file(pool, "relief");
	if (*relief >= 0 && !flock(*relief, LOCK_EX | LOCK_NB)) {
		struct load others = look(pool, slot->number, NULL);
		if (others.running && others.youngest <= slot->need.began &&
		    (others.current + slot->need.current > pool->memory ||
		     memory_available() < MARGIN_BYTES / 2))
			return true;
	}
	close(*relief);
	return false;
}

static void handle(const int *signals, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	for (; *signals; signals++)
		sigaction(*signals, &action, NULL);
}

static void begin_real(const char *real, char **words, int slot, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(137);
	if (slot >= 0)
		fcntl(slot, F_SETFD, 0); /* its lock lasts as long as anything of this call */
	if (real != words[0]) /* the cache, which is to meet gates */
		setenv(HELD, "1", 1);
	execv(real, words);
	fprintf(stderr, "farm: error: cannot run %s: %s\n", real, strerror(errno));
	_exit(127);
}

/* Run the compiler to its end, and keep an eye on what it takes. */
static bool run_real(const struct pool *pool, const char *real, char **words, struct slot *slot,
		     struct usage *used)
{
	static const int PASSED_ON[] = {SIGTERM, SIGINT, SIGHUP, 0}, ENDED[] = {SIGCHLD, 0};
	long kills = oom_kills();
	double started = now_s();
	sigset_t blocked, before;
	handle(ENDED, SIG_DFL); /* who ignores it has no child to wait for */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	pid_t parent = getpid(), child = fork();
	if (child < 0)
		return false;
	if (!child) {
		sigprocmask(SIG_SETMASK, &before, NULL);
		begin_real(real, words, slot->file, parent);
	}
	child_pid = child;
	handle(PASSED_ON, pass_on);
	struct rusage usage;
	int status, relief = -1;
	used->peak = 0;
	used->oom = false;
	struct timespec tick = {0, SAMPLE_MS * 1000000L};
	for (;;) {
		pid_t ended = wait4(child, &status, WNOHANG, &usage);
		if (ended == child || (ended < 0 && errno != EINTR))
			break;
		if (sigtimedwait(&blocked, NULL, &tick) >= 0)
			continue;
		uint64_t tree = resident_tree(child, 0);
		used->peak = tree > used->peak ? tree : used->peak;
		slot->need.current = tree;
		if (slot->file >= 0)
			(void)!pwrite(slot->file, &slot->need, sizeof slot->need, 0); /* on a full disk: as it was */
		if (!used->oom && must_give_way(pool, slot, &relief)) {
			used->oom = true;
			kill_tree(child, 0);
		}
	}
	child_pid = 0;
	if (relief >= 0 && used->oom)
		close(relief);
	handle(PASSED_ON, SIG_DFL);
	sigprocmask(SIG_SETMASK, &before, NULL);
	uint64_t largest = (uint64_t)usage.ru_maxrss * 1024; /* KiB: getrusage(2) */
	used->peak = largest > used->peak ? largest : used->peak;
	used->wall_s = now_s() - started;
	used->cpu_s = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec +
		      (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	used->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	used->oom = used->status && (used->oom || oom_kills() > kills);
	return true;
}

static size_t quoted(char *to, size_t room, const char *text)
{
	size_t size = 0;
	for (; *text && size + 8 < room; text++) {
		unsigned char c = *text;
		if (c == '"' || c == '\\')
			to[size++] = '\\';
		if (c < 0x20 || c >= 0x7f)
			size += snprintf(to + size, room - size, "\\u%04x", c);
		else
			to[size++] = (char)c;
	}
	to[size] = 0;
	return size;
}

/* One line of JSON, written at once: lines of other calls never mix with it. */
static void tell(const struct call *call, const char *compiler_path, double asked, double began,
		 const struct usage *used, const struct slot *slot, int tries, const char *cache)
{
	const char *path = getenv("FARM_CALLS");
	if (!path)
		return;
	char line[4096], source[2048], compiler[512];
	quoted(source, sizeof source, call->source);
	quoted(compiler, sizeof compiler, base_name(compiler_path));
	int size = snprintf(line, sizeof line,
			    "{\"compiler\":\"%s\",\"kind\":\"%s\",\"source\":\"%s\",\"asked_s\":%.3f,"
			    "\"began_s\":%.3f,\"wall_s\":%.3f,\"cpu_s\":%.3f,\"peak_bytes\":%llu,"
			    "\"predicted_bytes\":%llu,\"tries\":%d,\"status\":%d,\"cache\":\"%s\",\"slot\":%ld}\n",
			    compiler, call->kind, source, asked, began, used->wall_s, used->cpu_s,
			    (unsigned long long)used->peak, (unsigned long long)slot->need.predicted, tries,
			    used->status, cache, slot->number);
	int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (file < 0)
		return;
	if (write(file, line, size) != size)
		fprintf(stderr, "farm: what this call took could not be written\n");
	close(file);
}

static const char *in_gib(uint64_t bytes)
{
	static char texts[2][32];
	static int next;
	char *text = texts[next++ & 1];
	snprintf(text, sizeof texts[0], "%.1f GiB", bytes / 1073741824.0);
	return text;
}

/* A slot is free for others when its compiler is gone; what outlives that, as a server does,
 * holds it no longer.  Where memory ran out, something may still be ending. */
static void leave(const struct pool *pool, struct slot *slot, bool oom)
{
	if (slot->file < 0)
		return;
	if (!oom)
		flock(slot->file, LOCK_UN);
	close(slot->file);
	ring(pool);
}

/* Run it; once more with more memory set aside, and at last alone, where memory ran out. */
static int admitted(const struct pool *pool, const struct call *call, const char *own, const char *real,
		    char **words)
{
	uint64_t need = predicted(pool, call);
	double asked = now_s();
	struct usage used = {0};
	for (int tries = 1;; tries++) {
		bool alone = need >= pool->memory;
		struct slot slot = take_slot(pool, need);
		double began = now_s();
		if (!run_real(pool, real, words, &slot, &used)) {
			fprintf(stderr, "farm: error: cannot start %s: %s\n", real, strerror(errno));
			return 126;
		}
		leave(pool, &slot, used.oom);
		tell(call, own, asked, began, &used, &slot, tries, getenv(MISSED) ? "miss" : "none");
		if (!used.oom) {
			learn(pool, call, &used);
			return used.status;
		}
		if (alone) {
			fprintf(stderr,
				"farm: error: %s: memory ran out at %s although nothing else was compiled; "
				"all compilers together may take %s\n",
				call->source, in_gib(used.peak), in_gib(pool->memory));
			return used.status;
		}
		uint64_t more = used.peak + used.peak / 2;
		need = tries == 1 && more > need && more < pool->memory ? more : pool->memory;
		fprintf(stderr, "farm: %s: memory ran out at %s, tried again with %s set aside\n",
			call->source, in_gib(used.peak), in_gib(need));
	}
}

/* ---- the cache ------------------------------------------------------------------------- */

/* Whether the cache may answer: it has proved itself for this compiler, and what is asked for is
 * one object.  What it runs itself has MISSED set. */
static bool may_be_cached(const struct call *call, const char *own)
{
	const char *proved = getenv("FARM_CACHED");
	size_t size = strlen(own);
	if (!getenv("FARM_CACHE") || !proved || getenv(MISSED) || strcmp(call->kind, "compile") || !*call->output)
		return false;
	for (const char *at = proved; (at = strstr(at, own)); at += size)
		if ((at == proved || at[-1] == ':') && (at[size] == ':' || !at[size]))
			return true;
	return false;
}

/* Of what an object depends on, the cache's key lacks the folder, which debug information names,
 * and clang's name for a unit of device code: a hash of all words (-fuse-cuid=hash).  A temporary
 * folder's random name says nothing. */
static void name_rest(char *const *words)
{
	char folder[PATH_MAX], text[32];
	bool debug = false, device = false;
	uint64_t all = 0xcbf29ce484222325ull;
	for (; *words; words++) {
		debug |= !strncmp(*words, "-g", 2) && strcmp(*words, "-g0");
		device |= !strcmp(*words, "hip") || !strcmp(*words, "cuda") ||
			  !strncmp(*words, "--offload-", 10);
		all = hashed(all, *words);
	}
	if ((!debug && !device) || !getcwd(folder, sizeof folder))
		return;
	all = hashed(device ? all : 0, lasting(folder));
	snprintf(text, sizeof text, "%016llx", (unsigned long long)all);
	setenv("SCCACHE_C_CUSTOM_CACHE_BUSTER", text, 1);
}

static void words_name(char *name, size_t size, const char *missed)
{
	snprintf(name, size, "%s.words", missed);
}

/* Leave the words of this call for the gate that compiles what the cache lacks. */
static void leave_words(const char *missed, char *const *words)
{
	char name[128];
	words_name(name, sizeof name, missed);
	unlink(name);
	int file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	FILE *stream = file < 0 ? NULL : fdopen(file, "w");
	bool whole = stream;
	for (; whole && *words; words++)
		whole = fwrite(*words, strlen(*words) + 1, 1, stream) == 1;
	if ((stream && fclose(stream)) || !whole)
		unlink(name);
}

/* The words that the compiler would have without the cache, which orders them anew: clang puts
 * a hash of them into device code.  NULL: there are none. */
static char **left_words(void)
{
	char name[128];
	struct stat facts;
	if (!getenv(MISSED))
		return NULL;
	words_name(name, sizeof name, getenv(MISSED));
	int file = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return NULL;
	char *text = fstat(file, &facts) ? NULL : malloc(facts.st_size + 1);
	bool whole = text && read(file, text, facts.st_size) == facts.st_size && facts.st_size;
	close(file);
	char **words = whole ? calloc(facts.st_size + 1, sizeof *words) : NULL;
	if (!words)
		return NULL;
	text[facts.st_size] = 0;
	for (off_t at = 0, count = 0; at < facts.st_size; at += strlen(text + at) + 1)
		words[count++] = text + at;
	return words;
}

/* The compiler as it was called, since its name may say what it does (clang++). */
static const char *as_called(const char *word, const char *own, char *path, size_t size)
{
	const char *folders = getenv("PATH");
	if (strchr(word, '/'))
		return word;
	for (const char *end; folders && *folders; folders = *end ? end + 1 : end) {
		end = strchrnul(folders, ':');
		snprintf(path, size, "%.*s/%s", (int)(end - folders), folders, word);
		if (end != folders && !access(path, X_OK))
			return path;
	}
	return own;
}

/* What the real compiler said when the cache ran it, for the gate that waits for the cache:
 * -1 if it did not. */
static int missed_status(const char *name)
{
	char text[16] = {0};
	int file = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (file < 0)
		return -1;
	ssize_t size = read(file, text, sizeof text - 1);
	close(file);
	return size > 0 ? atoi(text) : -1;
}

static void tell_missed(int status)
{
	const char *name = getenv(MISSED);
	int file = name ? open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	if (file < 0)
		return;
	dprintf(file, "%d\n", status);
	close(file);
}

/* Whether the object is there, and of now; with the mode that a compiler gives it. */
static bool is_made(const char *output, double since)
{
	struct stat facts;
	mode_t mask = umask(0);
	umask(mask);
	if (stat(output, &facts) || !S_ISREG(facts.st_mode) || !facts.st_size ||
	    facts.st_mtim.tv_sec + 1 < (time_t)since)
		return false;
	return !chmod(output, 0666 & ~mask);
}

/*
 * Ask the cache, outside of any slot: what it does not have it has compiled through a gate of
 * this compiler, which takes one and writes the line.  False if it is to be compiled without it:
 * it failed itself, or there is no object although it says so.
 */
static bool from_cache(const struct pool *pool, const struct call *call, const char *own, char **words,
		       int *status)
{
	char missed[64], path[PATH_MAX];
	int count = 0;
	struct slot none = {.file = -1, .number = -1};
	struct usage used = {0};
	while (words[count])
		count++;
	char **asked = calloc(count + 2, sizeof *asked);
	if (!asked)
		return false;
	asked[0] = getenv("FARM_CACHE");
	asked[1] = (char *)as_called(words[0], own, path, sizeof path);
	memcpy(asked + 2, words + 1, count * sizeof *asked);
	snprintf(missed, sizeof missed, "/tmp/.farm-missed-%ld", (long)getpid());
	unlink(missed);
	setenv(MISSED, missed, 1);
	name_rest(words + 1);
	leave_words(missed, words);
	double began = now_s();
	bool ran = run_real(pool, asked[0], asked, &none, &used);
	int real = missed_status(missed);
	if (ran && used.status == CACHE_BROKEN && real < 0) { /* by what it has: that is replaced */
		setenv("SCCACHE_RECACHE", "1", 1);
		ran = run_real(pool, asked[0], asked, &none, &used);
		real = missed_status(missed);
	}
	unlink(missed);
	words_name(path, sizeof path, missed);
	unlink(path);
	unsetenv(MISSED);
	free(asked);
	*status = used.status;
	if (!ran || (used.status ? real <= 0 : !is_made(call->output, began)))
		return false;
	if (real < 0)
		tell(call, own, began, began, &used, &none, 1, "hit");
	return true;
}

int main(int count, char **words)
{
	char own[PATH_MAX], real[PATH_MAX + 8];
	ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
	if (count < 1 || size <= 0) {
		fprintf(stderr, "farm: error: the gate does not find itself\n");
		return 126;
	}
	own[size] = 0;
	snprintf(real, sizeof real, "%s.real", own);
	struct pool pool;
	struct call call;
	if (!getenv("FARM_POOL") || getenv(HELD) || !understood(own, words + 1, &call) || !open_pool(&pool)) {
		execv(real, words);
		fprintf(stderr, "farm: error: cannot run %s: %s\n", real, strerror(errno));
		return 127;
	}
	int status;
	if (may_be_cached(&call, own) && from_cache(&pool, &call, own, words, &status))
		return status;
	char **left = left_words();
	status = admitted(&pool, &call, own, real, left ? left : words);
	tell_missed(status);
	return status;
}

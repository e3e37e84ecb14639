// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Running the binary and reading its answers; workers and flows for it. */
#include "run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "cleanup.h"
#include "placing.h"

#define CHUNK 65536
#define SETTLE_TIMEOUT_MS 60000
#define POLL_MS 20

/* --- processes --- */

const char *sp_run_binary(void)
{
	static char path[PATH_MAX];
	const char *given = getenv("STEADYPORT");
	ssize_t len;

	if (path[0])
		return path;
	if (given && *given) {
		snprintf(path, sizeof(path), "%s", given);
		return path;
	}
	len = readlink("/proc/self/exe", path, sizeof(path) - 32);
	assert_true(len > 0);
	path[len] = '\0';
	/* build/tests/KIND/x_test */
	for (int i = 0; i < 3; i++)
		*strrchr(path, '/') = '\0';
	strcat(path, "/steadyport");
	return path;
}

static int nrunning; /* started and not yet waited for */

static void become(const struct sp_run_setup *setup, const char *const *words, int out, int err)
{
	int null = open("/dev/null", O_RDONLY);

	if (dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
		_exit(126);
	if (null > 2)
		close(null);
	if (setup && setup->prepare)
		setup->prepare(setup->ctx);
	execvp(!strcmp(words[0], "steadyport") ? sp_run_binary() : words[0], (char *const *)words);
	dprintf(2, "cannot run %s: %s\n", words[0], strerror(errno));
	_exit(127);
}

void sp_run_start(struct sp_run *run, const struct sp_run_setup *setup, const char *const *words)
{
	const char *room[SP_PLACING_WORDS_MAX + 1];
	int out[2], err[2];

	memset(run, 0, sizeof(*run));
	words = sp_placing_words(words, room);
	sp_run_binary();
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	assert_int_equal(pipe2(err, O_CLOEXEC), 0);
	run->pid = fork();
	assert_true(run->pid >= 0);
	nrunning++;
	if (run->pid == 0)
		become(setup, words, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	run->out_fd = out[0];
	run->err_fd = err[0];
}

/* Appends what is there. False at the end of the stream, which is then closed. */
static bool drain(int *fd, char **text, size_t *len)
{
	ssize_t n;

	*text = realloc(*text, *len + CHUNK + 1);
	assert_non_null(*text);
	n = read(*fd, *text + *len, CHUNK);
	if (n > 0)
		*len += n;
	(*text)[*len] = '\0';
	if (n <= 0)
		sp_close_fd(fd);
	return n > 0;
}

/* Reads until a deadline or until something came; false when nothing more will come. */
static bool read_some(struct sp_run *run, __u64 deadline)
{
	struct pollfd streams[2] = {
		{ .fd = run->out_fd, .events = POLLIN },
		{ .fd = run->err_fd, .events = POLLIN },
	};

	if (run->out_fd < 0 && run->err_fd < 0)
		return false;
	if (poll(streams, 2, sp_lab_left_ms(deadline)) == 0) {
		kill(run->pid, SIGKILL);
		print_error("still running after %d ms; it said:\n%s%s", SP_RUN_DEADLINE_MS, run->out ?: "",
			    run->err ?: "");
		fail();
	}
	if (streams[0].revents)
		drain(&run->out_fd, &run->out, &run->out_len);
	if (streams[1].revents)
		drain(&run->err_fd, &run->err, &run->err_len);
	return true;
}

void sp_run_drain(struct sp_run *run)
{
	struct pollfd streams[2] = {
		{ .fd = run->out_fd, .events = POLLIN },
		{ .fd = run->err_fd, .events = POLLIN },
	};

	while (poll(streams, 2, 0) > 0) {
		if (streams[0].revents)
			drain(&run->out_fd, &run->out, &run->out_len);
		if (streams[1].revents)
			drain(&run->err_fd, &run->err, &run->err_len);
		streams[0].fd = run->out_fd;
		streams[1].fd = run->err_fd;
	}
}

static bool is_same_link(const char *a, const char *b)
{
	char x[PATH_MAX], y[PATH_MAX];
	ssize_t xlen = readlink(a, x, sizeof(x)), ylen = readlink(b, y, sizeof(y));

	return xlen > 0 && xlen == ylen && !memcmp(x, y, xlen);
}

/* Processes that run the binary in our network namespace: other tests have namespaces of their own. */
static int count_running(void)
{
	char binary[PATH_MAX], exe[300], net[300], target[PATH_MAX];
	struct dirent *entry;
	int count = 0;
	DIR *proc;

	assert_non_null(realpath(sp_run_binary(), binary));
	proc = opendir("/proc");
	assert_non_null(proc);
	while ((entry = readdir(proc))) {
		ssize_t len;

		if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name))
			continue;
		snprintf(exe, sizeof(exe), "/proc/%s/exe", entry->d_name);
		snprintf(net, sizeof(net), "/proc/%s/ns/net", entry->d_name);
		len = readlink(exe, target, sizeof(target) - 1);
		if (len <= 0)
			continue;
		target[len] = '\0';
		count += !strcmp(target, binary) && is_same_link(net, "/proc/self/ns/net");
	}
	closedir(proc);
	return count;
}

void sp_run_wait(struct sp_run *run)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;
	int status;

	while (read_some(run, deadline))
		;
	assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
	run->pid = 0;
	run->status = WIFEXITED(status) ? WEXITSTATUS(status) : SP_RUN_SIGNALLED + WTERMSIG(status);
	/* I6: what does not run holds no member open. Helpers of one that was killed are killed a moment later. */
	nrunning--;
	while (count_running() > nrunning) {
		assert_true(sp_lab_left_ms(deadline));
		poll(NULL, 0, 1);
	}
}

bool sp_run_has_ended(const struct sp_run *run)
{
	siginfo_t info = { 0 };

	assert_int_equal(waitid(P_PID, run->pid, &info, WEXITED | WNOWAIT | WNOHANG), 0);
	return info.si_pid != 0;
}

void sp_run_wait_error(struct sp_run *run, const char *text)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!run->err || !strstr(run->err, text)) {
		if (!read_some(run, deadline)) {
			print_error("it ended without saying \"%s\":\n%s%s", text, run->out, run->err);
			fail();
		}
	}
}

void sp_run_free(struct sp_run *run)
{
	if (run->pid) {
		kill(run->pid, SIGKILL);
		waitpid(run->pid, NULL, 0);
		nrunning--;
		sp_close_fd(&run->out_fd);
		sp_close_fd(&run->err_fd);
	}
	free(run->out);
	free(run->err);
	memset(run, 0, sizeof(*run));
}

const struct sp_run *sp_run_program(const char *file, int line, int status, const struct sp_run_setup *setup,
				    const char *first, ...)
{
	const char *words[SP_RUN_WORDS_MAX + 1] = { first };
	static struct sp_run run;
	va_list ap;

	va_start(ap, first);
	for (size_t n = 1; n < SP_ARRAY_SIZE(words) && words[n - 1]; n++)
		words[n] = va_arg(ap, const char *);
	va_end(ap);
	sp_run_free(&run);
	sp_run_start(&run, setup, words);
	sp_run_wait(&run);
	if (run.status == status)
		return &run;
	print_error("exit status %d, not %d, of", run.status, status);
	for (size_t n = 0; words[n]; n++)
		print_error(" %s", words[n]);
	print_error(":\n%s%s", run.out, run.err);
	_fail(file, line);
	return NULL;
}

bool sp_run_has(const char *program)
{
	const char *path = getenv("PATH") ?: "/usr/sbin:/usr/bin:/sbin:/bin";
	char file[PATH_MAX];

	while (*path) {
		size_t len = strcspn(path, ":");

		snprintf(file, sizeof(file), "%.*s/%s", (int)len, path, program);
		if (access(file, X_OK) == 0)
			return true;
		path += len + (path[len] == ':');
	}
	return false;
}

unsigned int sp_run_slowness(void)
{
	const char *slowness = getenv("TEST_SLOWNESS");

	return slowness ? atoi(slowness) : 1;
}

const char *sp_run_window(unsigned int ms)
{
	static char text[16];

	snprintf(text, sizeof(text), "%ums", ms * sp_run_slowness());
	return text;
}

void sp_run_need(const char *program)
{
	if (sp_run_has(program))
		return;
	print_error("%s is not installed\n", program);
	skip();
}

/* --- answers --- */

json_t *sp_run_parse(const char *file, int line, const struct sp_run *run)
{
	json_error_t error;
	json_t *document = json_loads(run->out, JSON_REJECT_DUPLICATES, &error);

	if (document)
		return document;
	print_error("not one JSON document: %s\n%.400s", error.text, run->out);
	_fail(file, line);
	return NULL;
}

static json_t *field(const json_t *object, const char *key)
{
	json_t *value = json_object_get(object, key);

	if (value)
		return value;
	print_error("no field %s\n", key);
	fail();
	return NULL;
}

json_int_t sp_json_int(const json_t *object, const char *key)
{
	const json_t *value = field(object, key);

	if (!json_is_integer(value))
		print_error("%s is not a whole number\n", key);
	assert_true(json_is_integer(value));
	return json_integer_value(value);
}

double sp_json_real(const json_t *object, const char *key)
{
	const json_t *value = field(object, key);

	if (!json_is_number(value))
		print_error("%s is not a number\n", key);
	assert_true(json_is_number(value));
	return json_number_value(value);
}

bool sp_json_bool(const json_t *object, const char *key)
{
	const json_t *value = field(object, key);

	if (!json_is_boolean(value))
		print_error("%s is not true or false\n", key);
	assert_true(json_is_boolean(value));
	return json_is_true(value);
}

const char *sp_json_text(const json_t *object, const char *key)
{
	const json_t *value = field(object, key);

	if (!json_is_string(value))
		print_error("%s is not a string\n", key);
	assert_true(json_is_string(value));
	return json_string_value(value);
}

json_t *sp_json_array(const json_t *object, const char *key)
{
	json_t *value = field(object, key);

	if (!json_is_array(value))
		print_error("%s is not an array\n", key);
	assert_true(json_is_array(value));
	return value;
}

json_t *sp_json_object(const json_t *object, const char *key)
{
	json_t *value = field(object, key);

	if (!json_is_object(value))
		print_error("%s is not an object\n", key);
	assert_true(json_is_object(value));
	return value;
}

json_t *sp_json_find(const json_t *array, const char *key, json_int_t value)
{
	json_t *element;
	size_t i;

	json_array_foreach(array, i, element) {
		if (sp_json_int(element, key) == value)
			return element;
	}
	print_error("no element whose %s is %lld\n", key, (long long)value);
	fail();
	return NULL;
}

json_t *sp_groups_here(void)
{
	json_t *groups = sp_run_json("groups"), *here = json_array(), *group;
	struct stat netns;
	size_t i;

	assert_non_null(here);
	assert_int_equal(stat("/proc/self/ns/net", &netns), 0);
	json_array_foreach(groups, i, group) {
		if (sp_json_int(group, "netns_inode") == (json_int_t)netns.st_ino)
			assert_int_equal(json_array_append(here, group), 0);
	}
	json_decref(groups);
	return here;
}

json_int_t sp_status_int(const char *name, const char *key)
{
	json_t *status = sp_run_json("status", name);
	json_int_t value = sp_json_int(status, key);

	json_decref(status);
	return value;
}

bool sp_status_bool(const char *name, const char *key)
{
	json_t *status = sp_run_json("status", name);
	bool value = sp_json_bool(status, key);

	json_decref(status);
	return value;
}

void sp_status_wait_settled(const char *name)
{
	__u64 deadline = sp_lab_now_ms() + SETTLE_TIMEOUT_MS;
	json_int_t left = 1;

	while (left > 0) {
		json_t *status = sp_run_json("status", name);

		left = sp_json_bool(status, "learning") ? sp_json_int(status, "learn_remaining_ms") : 0;
		json_decref(status);
		if (sp_lab_left_ms(deadline) == 0) {
			print_error("%s is still learning\n", name);
			fail();
		}
		/* It says when; asking all the time would only take the processor from the flows. */
		poll(NULL, 0, left < POLL_MS ? left : POLL_MS + left / 2);
	}
}

bool sp_status_slot_is(const char *name, unsigned int slot, const char *state)
{
	json_t *status = sp_run_json("status", name), *one;
	bool is = false;
	size_t i;

	json_array_foreach(sp_json_array(status, "slots"), i, one) {
		if (sp_json_int(one, "slot") == slot)
			is = !strcmp(sp_json_text(one, "state"), state);
	}
	json_decref(status);
	return is;
}

static json_int_t add_outcomes(const json_t *counters)
{
	json_int_t sum = 0;

#define OUTCOME(name) sum += sp_json_int(counters, #name);
#define DETAIL(name) assert_true(sp_json_int(counters, #name) >= 0);
#define SP_COUNTER(name, kind, text) kind(name)
#include <steadyport/counters.def>
#undef SP_COUNTER
#undef DETAIL
#undef OUTCOME
	return sum;
}

json_int_t sp_json_outcomes(const json_t *document)
{
	json_int_t sum = add_outcomes(sp_json_object(document, "group_counters"));
	json_t *slot;
	size_t i;

	json_array_foreach(sp_json_array(document, "slots"), i, slot)
		sum += add_outcomes(sp_json_object(slot, "counters"));
	return sum;
}

json_int_t sp_counters_outcomes(const char *name)
{
	json_t *counters = sp_run_json("counters", name);
	json_int_t sum = sp_json_outcomes(counters);

	json_decref(counters);
	return sum;
}

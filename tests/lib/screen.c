// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The binary at a terminal of the test's own. */
#include "screen.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "cleanup.h"

#define ESC 27
#define PARAMETERS_MAX 8
#define POLL_MS 20

/* --- what an xterm does --- */

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

static void blank(struct sp_screen *s, int y, int from, int to)
{
	for (int x = from; x < to; x++)
		s->cells[y][x] = ' ';
}

static void blank_lines(struct sp_screen *s, int from, int to)
{
	for (int y = from; y < to; y++)
		blank(s, y, 0, SP_SCREEN_WIDTH_MAX);
}

static void line_feed(struct sp_screen *s)
{
	if (s->y + 1 < s->height) {
		s->y++;
		return;
	}
	memmove(s->cells[0], s->cells[1], (s->height - 1) * sizeof(s->cells[0]));
	blank_lines(s, s->height - 1, s->height);
}

static void put(struct sp_screen *s, __u32 sign)
{
	if (s->x >= s->width) {
		s->x = 0;
		line_feed(s);
	}
	s->cells[s->y][s->x++] = sign;
	s->last = sign;
}

static void erase_line(struct sp_screen *s, int how)
{
	blank(s, s->y, how == 0 ? clamp(s->x, 0, s->width) : 0, how == 1 ? s->x + 1 : s->width);
}

static void erase_display(struct sp_screen *s, int how)
{
	erase_line(s, how);
	blank_lines(s, how == 0 ? s->y + 1 : 0, how == 1 ? s->y : s->height);
}

static void shift_lines(struct sp_screen *s, int count)
{
	int below = s->height - s->y - abs(count);

	if (below < 0)
		return;
	if (count > 0) {
		memmove(s->cells[s->y + count], s->cells[s->y], below * sizeof(s->cells[0]));
		blank_lines(s, s->y, s->y + count);
	} else {
		memmove(s->cells[s->y], s->cells[s->y - count], below * sizeof(s->cells[0]));
		blank_lines(s, s->height + count, s->height);
	}
}

static void shift_signs(struct sp_screen *s, int count)
{
	__u32 *line = s->cells[s->y];
	int right = s->width - s->x - abs(count);

	if (right < 0)
		return;
	if (count > 0) {
		memmove(line + s->x + count, line + s->x, right * sizeof(*line));
		blank(s, s->y, s->x, s->x + count);
	} else {
		memmove(line + s->x, line + s->x - count, right * sizeof(*line));
		blank(s, s->y, s->width + count, s->width);
	}
}

static void set_mode(struct sp_screen *s, int mode, bool is_on)
{
	if (mode == 1049)
		s->is_alternate = is_on;
	if (mode == 25)
		s->has_cursor = is_on;
}

static void obey(struct sp_screen *s, char final, const int *p, int n)
{
	int one = n && p[0] ? p[0] : 1, zero = n ? p[0] : 0;

	switch (final) {
	case 'H':
		s->y = clamp(one - 1, 0, s->height - 1);
		s->x = clamp(n > 1 && p[1] ? p[1] - 1 : 0, 0, s->width - 1);
		break;
	case 'A':
		s->y = clamp(s->y - one, 0, s->height - 1);
		break;
	case 'B':
		s->y = clamp(s->y + one, 0, s->height - 1);
		break;
	case 'C':
		s->x = clamp(s->x + one, 0, s->width - 1);
		break;
	case 'D':
		s->x = clamp(s->x - one, 0, s->width - 1);
		break;
	case 'G':
		s->x = clamp(one - 1, 0, s->width - 1);
		break;
	case 'd':
		s->y = clamp(one - 1, 0, s->height - 1);
		break;
	case 'J':
		erase_display(s, zero);
		break;
	case 'K':
		erase_line(s, zero);
		break;
	case 'X':
		blank(s, s->y, s->x, clamp(s->x + one, 0, s->width));
		break;
	case 'L':
		shift_lines(s, one);
		break;
	case 'M':
		shift_lines(s, -one);
		break;
	case '@':
		shift_signs(s, one);
		break;
	case 'P':
		shift_signs(s, -one);
		break;
	case 'b':
		for (int i = 0; i < one; i++)
			put(s, s->last);
		break;
	case 'h':
	case 'l':
		set_mode(s, zero, final == 'h');
		break;
	case 'm': /* looks */
	case 'r': /* a region to scroll: the whole screen, as long as curses is not told to scroll */
	case 't': /* the window's title */
		break;
	default:
		fail_msg("a sequence that this terminal does not know: ESC [ ... %c", final);
	}
}

/* Bytes of the sequence or the sign that begins here; 0: it is not complete. */
static size_t take(struct sp_screen *s, const char *in, size_t len)
{
	unsigned char c = in[0];
	int p[PARAMETERS_MAX] = { 0 }, n = 0;
	size_t at = 2;

	if (c >= 0xc0) {
		size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
		__u32 sign = c & (0x7f >> size);

		if (len < size)
			return 0;
		for (size_t i = 1; i < size; i++)
			sign = sign << 6 | (in[i] & 0x3f);
		put(s, sign);
		return size;
	}
	if (c == '\r')
		s->x = 0;
	else if (c == '\n')
		line_feed(s);
	else if (c == '\b')
		s->x = clamp(s->x - 1, 0, s->width - 1);
	else if (c >= ' ')
		put(s, c);
	if (c != ESC)
		return 1;
	if (len < 2)
		return 0;
	if (in[1] == '(' || in[1] == ')')
		return len < 3 ? 0 : 3;
	if (in[1] != '[')
		return 2;
	if (len > at && (in[at] == '?' || in[at] == '>'))
		at++;
	for (; at < len && (isdigit((unsigned char)in[at]) || in[at] == ';'); at++) {
		if (!n)
			n = 1;
		if (in[at] == ';')
			n++;
		else if (n <= PARAMETERS_MAX)
			p[n - 1] = p[n - 1] * 10 + in[at] - '0';
	}
	if (at == len)
		return 0;
	obey(s, in[at], p, n < PARAMETERS_MAX ? n : PARAMETERS_MAX);
	return at + 1;
}

/* Takes what was drawn until now, or waits for it. */
static void read_drawn(struct sp_screen *s, int timeout_ms)
{
	struct pollfd source = { .fd = s->terminal, .events = POLLIN };
	char buf[8192 + sizeof(s->pending)];
	size_t used = 0, len = s->npending, took;
	ssize_t n;

	if (poll(&source, 1, timeout_ms) <= 0)
		return;
	memcpy(buf, s->pending, len);
	n = read(s->terminal, buf + len, sizeof(buf) - sizeof(s->pending));
	/* It has no end while the other one is open here. */
	assert_true(n > 0);
	len += n;
	while (used < len && (took = take(s, buf + used, len - used)))
		used += took;
	s->npending = len - used;
	assert_true(s->npending <= sizeof(s->pending));
	memcpy(s->pending, buf + used, s->npending);
}

/* --- the program --- */

static void become_its_terminal(void *ctx)
{
	const struct sp_screen *s = ctx;

	if (setsid() < 0 || ioctl(s->slave, TIOCSCTTY, 0) || dup2(s->slave, 0) < 0 || dup2(s->slave, 1) < 0 ||
	    dup2(s->slave, 2) < 0)
		_exit(126);
	setenv("TERM", "xterm", 1);
	setenv("LC_ALL", "C.UTF-8", 1);
	unsetenv("NO_COLOR");
	unsetenv("LINES");
	unsetenv("COLUMNS");
}

static void set_size(struct sp_screen *s, int width, int height)
{
	struct winsize size = { .ws_row = height, .ws_col = width };

	assert_in_range(width, 1, SP_SCREEN_WIDTH_MAX);
	assert_in_range(height, 1, SP_SCREEN_HEIGHT_MAX);
	s->width = width;
	s->height = height;
	s->x = clamp(s->x, 0, width - 1);
	s->y = clamp(s->y, 0, height - 1);
	assert_int_equal(ioctl(s->terminal, TIOCSWINSZ, &size), 0);
}

void sp_screen_start(struct sp_screen *s, int width, int height, const char *const *words)
{
	const struct sp_run_setup setup = { .prepare = become_its_terminal, .ctx = s };
	char path[64];

	memset(s, 0, sizeof(*s));
	s->has_cursor = true;
	blank_lines(s, 0, SP_SCREEN_HEIGHT_MAX);
	s->terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s->terminal >= 0);
	assert_int_equal(grantpt(s->terminal), 0);
	assert_int_equal(unlockpt(s->terminal), 0);
	assert_int_equal(ptsname_r(s->terminal, path, sizeof(path)), 0);
	s->slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(s->slave >= 0);
	assert_int_equal(tcgetattr(s->slave, &s->before), 0);
	set_size(s, width, height);
	sp_run_start(&s->run, &setup, words);
}

void sp_screen_close(struct sp_screen *s)
{
	sp_run_free(&s->run);
	sp_close_fd(&s->terminal);
	sp_close_fd(&s->slave);
}

void sp_screen_press(struct sp_screen *s, const char *keys)
{
	assert_int_equal(write(s->terminal, keys, strlen(keys)), strlen(keys));
}

void sp_screen_resize(struct sp_screen *s, int width, int height)
{
	blank_lines(s, 0, SP_SCREEN_HEIGHT_MAX);
	set_size(s, width, height);
}

static char *write_sign(char *to, __u32 sign)
{
	if (sign < 0x80) {
		*to++ = sign;
		return to;
	}
	*to++ = 0xe0 | sign >> 12;
	*to++ = 0x80 | (sign >> 6 & 0x3f);
	*to++ = 0x80 | (sign & 0x3f);
	return to;
}

static char *write_line(struct sp_screen *s, char *to, int y)
{
	char *begin = to;

	for (int x = 0; x < s->width; x++)
		to = write_sign(to, s->cells[y][x]);
	while (to > begin && to[-1] == ' ')
		to--;
	return to;
}

const char *sp_screen_line(struct sp_screen *s, int y)
{
	*write_line(s, s->text, y) = '\0';
	return s->text;
}

const char *sp_screen_text(struct sp_screen *s)
{
	char *to = s->text;

	for (int y = 0; y < s->height; y++) {
		to = write_line(s, to, y);
		*to++ = '\n';
	}
	*to = '\0';
	return s->text;
}

static void wait_for(struct sp_screen *s, const char *text, bool is_wanted)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	for (;;) {
		bool is_there = strstr(sp_screen_text(s), text) != NULL;

		if (is_there == is_wanted)
			return;
		if (!sp_lab_left_ms(deadline)) {
			print_error("\"%s\" is %s there:\n%s", text, is_wanted ? "not" : "still",
				    sp_screen_text(s));
			fail();
		}
		read_drawn(s, POLL_MS);
	}
}

void sp_screen_wait(struct sp_screen *s, const char *text)
{
	wait_for(s, text, true);
}

void sp_screen_wait_without(struct sp_screen *s, const char *text)
{
	wait_for(s, text, false);
}

void sp_screen_read(struct sp_screen *s, int ms)
{
	__u64 deadline = sp_lab_now_ms() + ms;

	while (sp_lab_left_ms(deadline))
		read_drawn(s, sp_lab_left_ms(deadline));
}

static void require_as_before(struct sp_screen *s)
{
	struct termios now;

	assert_int_equal(tcgetattr(s->slave, &now), 0);
	assert_int_equal(now.c_lflag, s->before.c_lflag);
	assert_int_equal(now.c_iflag, s->before.c_iflag);
	assert_int_equal(now.c_oflag, s->before.c_oflag);
	assert_int_equal(now.c_cflag, s->before.c_cflag);
	assert_memory_equal(now.c_cc, s->before.c_cc, sizeof(now.c_cc));
	assert_false(s->is_alternate);
	assert_true(s->has_cursor);
}

void sp_screen_wait_end(struct sp_screen *s, int status)
{
	__u64 deadline = sp_lab_now_ms() + SP_RUN_DEADLINE_MS;

	while (!sp_run_has_ended(&s->run)) {
		if (!sp_lab_left_ms(deadline)) {
			print_error("it has not ended:\n%s", sp_screen_text(s));
			fail();
		}
		read_drawn(s, POLL_MS);
	}
	sp_run_wait(&s->run);
	/* Its last words are on their way for a moment longer. */
	while ((s->is_alternate || !s->has_cursor) && sp_lab_left_ms(deadline))
		read_drawn(s, POLL_MS);
	assert_int_equal(s->run.status, status);
	require_as_before(s);
}

// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The terminal as `top` has it. The only file that knows curses. */
#include "top_screen.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include "cleanup.h"
#include "log.h"
#include "state.h"
#include "value.h"

#ifndef SP_WIDE_CURSES
#define SP_WIDE_CURSES 0 /* the Makefile knows */
#endif

#define ESCAPE 27
#define ESCAPE_MS 25 /* an escape sequence is one key: its rest is there by then */

struct sp_top_screen {
	SCREEN *terminal;
	int signals; /* signalfd */
	sigset_t before; /* the mask */
	int said; /* memfd that stderr is */
	int stderr_before;
	bool has_blocks;
	bool has_colour;
};

/* --- what is said --- */

static int keep_stderr(struct sp_top_screen *s)
{
	fflush(stderr);
	s->said = memfd_create("said", MFD_CLOEXEC);
	s->stderr_before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (s->said < 0 || s->stderr_before < 0 || dup2(s->said, STDERR_FILENO) < 0)
		return -errno;
	return 0;
}

static size_t take_said(struct sp_top_screen *s, char *text, size_t size)
{
	ssize_t len;

	fflush(stderr);
	len = pread(s->said, text, size - 1, 0);
	text[len > 0 ? len : 0] = '\0';
	if (len > 0 && (ftruncate(s->said, 0) || lseek(s->said, 0, SEEK_SET)))
		return 0;
	return len > 0 ? len : 0;
}

static void give_stderr_back(struct sp_top_screen *s)
{
	char text[SP_TOP_MESSAGE_LEN];
	size_t len = s->said >= 0 ? take_said(s, text, sizeof(text)) : 0;

	if (s->stderr_before >= 0)
		dup2(s->stderr_before, STDERR_FILENO);
	if (len)
		fputs(text, stderr);
	sp_close_fd(&s->stderr_before);
	sp_close_fd(&s->said);
}

void sp_top_screen_said(struct sp_top_screen *s, char *ret_text, size_t size)
{
	char *to = ret_text;

	take_said(s, ret_text, size);
	/* A hint stands below its error, further right. */
	for (const char *from = ret_text; *from; from++) {
		bool is_blank = *from == '\n' || *from == ' ';

		if (is_blank && (to == ret_text || to[-1] == ' '))
			continue;
		*to++ = is_blank ? ' ' : *from;
	}
	*to = '\0';
}

/* --- start and end --- */

static int catch_signals(struct sp_top_screen *s)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	/* Blocked, curses does not hear of it: there is no instant in which a change of the size can be missed. */
	sigaddset(&mask, SIGWINCH);
	if (sigprocmask(SIG_BLOCK, &mask, &s->before))
		return -errno;
	s->signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? -errno : 0;
}

static void start_colours(struct sp_top_screen *s)
{
	s->has_colour = sp_render_has_colour() && start_color() == OK && use_default_colors() == OK;
	if (!s->has_colour)
		return;
	init_pair(SP_RED, COLOR_RED, -1);
	init_pair(SP_GREEN, COLOR_GREEN, -1);
	init_pair(SP_YELLOW, COLOR_YELLOW, -1);
}

static int start_curses(struct sp_top_screen *s)
{
	/* initscr() would end the process. */
	s->terminal = newterm(NULL, stdout, stdin);
	if (!s->terminal) {
		sp_refuse(0, "the terminal type %s is not known here",
			  getenv("TERM") ?: "(none: TERM is not set)");
		sp_hint("set TERM; or one frame as text: steadyport top --once");
		return -ENOTTY;
	}
	cbreak();
	noecho();
	nonl();
	keypad(stdscr, TRUE);
	nodelay(stdscr, TRUE);
	set_escdelay(ESCAPE_MS);
	curs_set(0);
	start_colours(s);
	return 0;
}

int sp_top_screen_check(void)
{
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO))
		return 0;
	sp_refuse(0, "%s is not a terminal", isatty(STDOUT_FILENO) ? "stdin" : "stdout");
	sp_hint("one frame as text: steadyport top --once");
	return -ENOTTY;
}

int sp_top_screen_open(struct sp_top_screen **ret_screen)
{
	struct sp_top_screen *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return sp_fail(-ENOMEM, "cannot take the terminal");
	s->signals = -1;
	s->said = -1;
	s->stderr_before = -1;
	setlocale(LC_CTYPE, "");
	s->has_blocks = SP_WIDE_CURSES && !strcmp(nl_langinfo(CODESET), "UTF-8");
	err = catch_signals(s);
	if (err)
		sp_fail(err, "cannot take the terminal");
	err = err ?: start_curses(s);
	if (!err) {
		err = keep_stderr(s);
		if (err) {
			endwin();
			give_stderr_back(s);
			sp_fail(err, "cannot keep what is said");
		}
	}
	if (err) {
		sp_top_screen_close(&s);
		return err;
	}
	*ret_screen = s;
	return 0;
}

void sp_top_screen_close(struct sp_top_screen **screen)
{
	struct sp_top_screen *s = *screen;

	if (!s)
		return;
	if (s->terminal) {
		endwin();
		delscreen(s->terminal);
	}
	give_stderr_back(s);
	/* A signal that has come meanwhile has had its effect: it is taken, not delivered. */
	if (s->signals >= 0) {
		struct signalfd_siginfo info;

		while (read(s->signals, &info, sizeof(info)) == sizeof(info))
			;
	}
	sp_close_fd(&s->signals);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
	free(s);
	*screen = NULL;
}

/* --- drawing --- */

void sp_top_screen_size(const struct sp_top_screen *s, int *ret_width, int *ret_height)
{
	(void)s;
	getmaxyx(stdscr, *ret_height, *ret_width);
}

bool sp_top_screen_has_blocks(const struct sp_top_screen *s)
{
	return s->has_blocks;
}

static attr_t attributes(const struct sp_top_screen *s, const struct sp_top_span *span)
{
	attr_t a = span->is_reverse ? A_REVERSE : A_NORMAL;

	switch (span->colour) {
	case SP_BOLD:
		return a | A_BOLD;
	case SP_DIM:
		return a | A_DIM;
	case SP_RED:
	case SP_GREEN:
	case SP_YELLOW:
		return a | (s->has_colour ? COLOR_PAIR(span->colour) : A_NORMAL);
	case SP_PLAIN:
		break;
	}
	return a;
}

static void draw_line(const struct sp_top_screen *s, int y, const struct sp_top_line *line)
{
	size_t at = 0;

	move(y, 0);
	for (size_t i = 0; i < line->nspans; i++) {
		const struct sp_top_span *span = &line->spans[i];

		addnstr(line->text + at, (int)(span->from - at));
		attrset(attributes(s, span));
		addnstr(line->text + span->from, (int)(span->to - span->from));
		attrset(A_NORMAL);
		at = span->to;
	}
	addnstr(line->text + at, (int)(line->len - at));
	/* The cursor is beyond the end of a line that fills it. */
	if (line->columns < COLS)
		clrtoeol();
}

void sp_top_screen_draw(struct sp_top_screen *s, const struct sp_top_frame *frame)
{
	erase();
	for (int y = 0; y < frame->height && y < LINES; y++)
		draw_line(s, y, &frame->lines[y]);
	refresh();
}

/* --- events --- */

static int translate(int key)
{
	static const struct {
		int curses, key;
	} keys[] = {
		{ KEY_UP, SP_TOP_KEY_UP },	   { KEY_DOWN, SP_TOP_KEY_DOWN },
		{ KEY_PPAGE, SP_TOP_KEY_PAGE_UP }, { KEY_NPAGE, SP_TOP_KEY_PAGE_DOWN },
		{ KEY_HOME, SP_TOP_KEY_HOME },	   { KEY_END, SP_TOP_KEY_END },
		{ KEY_ENTER, SP_TOP_KEY_ENTER },   { '\r', SP_TOP_KEY_ENTER },
		{ '\n', SP_TOP_KEY_ENTER },	   { ESCAPE, SP_TOP_KEY_ESCAPE },
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++) {
		if (keys[i].curses == key)
			return keys[i].key;
	}
	return key < 256 ? key : 0;
}

/* True when the terminal has another size now, which curses has been told. */
static bool is_resized(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_row || !size.ws_col)
		return false;
	if (size.ws_row == LINES && size.ws_col == COLS)
		return false;
	resizeterm(size.ws_row, size.ws_col);
	clearok(stdscr, TRUE);
	return true;
}

/* False: no signal is there. */
static bool take_signal(const struct sp_top_screen *s, enum sp_top_event *ret)
{
	struct signalfd_siginfo info;

	while (read(s->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo != SIGWINCH) {
			*ret = SP_TOP_ENDED;
			return true;
		}
		if (is_resized()) {
			*ret = SP_TOP_RESIZED;
			return true;
		}
	}
	return false;
}

static int left_ms(__u64 until_ns)
{
	__u64 now = sp_now_ns();

	return now < until_ns ? (int)((until_ns - now + SP_NS_PER_MS - 1) / SP_NS_PER_MS) : 0;
}

enum sp_top_event sp_top_screen_wait(struct sp_top_screen *s, __u64 until_ns, int *ret_key)
{
	struct pollfd sources[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = s->signals, .events = POLLIN },
	};
	enum sp_top_event event;
	int key;

	for (;;) {
		if (take_signal(s, &event))
			return event;
		/* Keys that curses has read already are not seen by poll(). */
		key = getch();
		if (key != ERR && key != KEY_RESIZE) {
			*ret_key = translate(key);
			return SP_TOP_KEY;
		}
		if (sources[0].revents & (POLLHUP | POLLERR | POLLNVAL))
			return SP_TOP_ENDED;
		if (!left_ms(until_ns))
			return SP_TOP_TIME;
		sources[0].revents = 0;
		if (poll(sources, SP_ARRAY_SIZE(sources), left_ms(until_ns)) < 0 && errno != EINTR)
			return SP_TOP_ENDED;
	}
}
